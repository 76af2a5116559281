package ieee802154_test

import (
	"fmt"

	"border-router/ieee802154"
)

func Example() {
	var f ieee802154.Frame
	err := f.Parse([]byte{0x41, 0xd8, 0x09, 0xcd, 0xab, 0xff, 0xff, 0x04, 0x03, 0x02, 0x01, 0x00, 0x74, 0x12, 0x02, 0x7b, 0x3b})
	fmt.Println(err, f.Type, f.Seq, f.Src, f.Dst, fmt.Sprintf("%04x %x", f.DstPAN, f.Payload))
	// Output: <nil> data 9 0212740001020304 ffff abcd 7b3b
}
