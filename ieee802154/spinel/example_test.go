package spinel_test

import (
	"fmt"

	"border-router/ieee802154/spinel"
)

func ExampleParseURL() {
	c, err := spinel.ParseURL("spinel:///dev/ttyACM0?baud=460800&flow=rtscts&channel=15")
	fmt.Println(c.Port.Path, c.Port.Baud, c.Channel, err)
	_, err = spinel.ParseURL("spinel:///dev/ttyACM0?channel=27")
	fmt.Println(err)
	// Output:
	// /dev/ttyACM0 460800 15 <nil>
	// radio "spinel:///dev/ttyACM0?channel=27": channel=27: not in range; want 11 to 26
}
