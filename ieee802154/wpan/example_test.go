package wpan_test

import (
	"fmt"

	"border-router/ieee802154/wpan"
)

func Example() {
	cfg, err := wpan.ParseURL("wpan://wpan0?channel=26&pan=0xabcd")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s channel %d PAN %04x\n", cfg.Interface, cfg.Channel, cfg.PAN)
	// r, err := wpan.Open(cfg) sets the interface up
	// Output: wpan0 channel 26 PAN abcd
}
