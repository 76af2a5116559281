package ethernet_test

import (
	"fmt"

	"border-router/internal/ethernet"
	"border-router/ipv6"
)

// A configuration that cannot work is refused before anything is opened.
func Example() {
	_, err := ethernet.Open(ethernet.Config{Name: "br-tap0", TAP: true, Bridge: "br0", MAC: ipv6.EUI48([6]byte{0x33, 0x33, 0, 0, 0, 1})})
	fmt.Println(err)
	// Output: ethernet: 33:33:00:00:00:01 is not the MAC address of a station
}
