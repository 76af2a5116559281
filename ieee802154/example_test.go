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

func ExampleCipher() {
	key := [16]byte{0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf}
	// The data frame of IEEE 802.15.4-2006 Annex C.2.2.
	b := []byte("\x69\xdc\x84\x21\x43\x02\x00\x00\x00\x00\x48\xde\xac\x01\x00\x00\x00\x00\x48\xde\xac\x04\x05\x00\x00\x00\xd4\x3e\x02\x2b")
	var f ieee802154.Frame
	if err := f.Parse(b); err != nil {
		fmt.Println(err)
		return
	}
	payload, err := ieee802154.NewCipher(key).Open(nil, b, &f, f.Src.V)
	fmt.Printf("level %d, counter %d: %s %v\n", f.Sec.Level, f.Sec.FrameCounter, payload, err)
	// Output: level 4, counter 5: abcd <nil>
}
