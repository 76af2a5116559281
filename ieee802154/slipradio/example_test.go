package slipradio_test

import (
	"fmt"

	"border-router/ieee802154/slipradio"
)

func Example() {
	cfg, err := slipradio.ParseURL("slip:///dev/ttyUSB0?baud=115200&channel=15&pan=0xabcd")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Name, cfg.Channel, cfg.Dialect)
	// r, err := slipradio.Open(cfg) waits for the dongle, if need be
	// Output: /dev/ttyUSB0 15 auto
}
