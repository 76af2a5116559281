package macsec_test

import (
	"context"
	"fmt"

	"border-router/internal/config"
	"border-router/internal/macsec"
	"border-router/internal/state"
	"border-router/lowpan"
)

// Frames of a port are secured with a key; the second start goes on with frame counters
// that the first cannot have used.
func Example() {
	store := state.OpenMemory()
	defer store.Close()
	var key config.Key
	if err := key.UnmarshalText([]byte("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")); err != nil {
		fmt.Println(err)
		return
	}
	sec := config.Default().Security
	sec.Key = key
	var last uint32
	for range 2 {
		k, s, err := macsec.New(macsec.Config{
			Name: "mesh", EUI64: 0x02005e1000000001, Security: sec, Store: store,
			Do: func(_ context.Context, f func()) error { f(); return nil },
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		i := lowpan.NewInterface(lowpan.InterfaceConfig{EUI64: 0x02005e1000000001, PAN: 0x23, Security: s})
		k.Start(i)
		fmt.Println("level", s.Level, "goes on:", s.Counter >= last)
		last = s.Counter + 1
		k.Close()
	}
	// Output:
	// level 5 goes on: true
	// level 5 goes on: true
}
