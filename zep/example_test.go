package zep_test

import (
	"fmt"

	"border-router/zep"
)

func Example() {
	cfg, err := zep.ParseURL("zep://[::1]:0?mode=hub&channel=20&pan=0xabcd")
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.EUI64 = 0x020000fffe000001
	r, err := zep.Open(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	fmt.Println(r.Channel(), r.Window(), r.LocalAddrs()[0].Addr(), len(r.Peers()))
	// Output: 20 4 ::1 0
}
