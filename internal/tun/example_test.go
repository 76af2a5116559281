package tun_test

import (
	"fmt"

	"border-router/internal/tun"
)

// The name is checked before anything else, and the error says what to do.
func Example() {
	_, err := tun.Open(tun.Config{Name: "low/pan"})
	fmt.Println(err)
	// Output: tun: interface name "low/pan" has a space, a slash, a colon or a character outside ASCII; choose another after tun://, for example tun://lowpan0
}
