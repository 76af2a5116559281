package state_test

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"border-router/internal/state"
	"border-router/ipv6"
)

func Example() {
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	s, err := state.Open(dir, nil)
	if err != nil {
		panic(err)
	}
	prefix, _ := s.ULA()
	s.PutRegistration(state.Record{
		Port:     "zep0",
		Addr:     netip.MustParseAddr("fd00::1"),
		LinkAddr: ipv6.EUI64(0x0200_5e10_0000_0001),
		Expires:  time.Now().Add(time.Hour),
	})
	s.Close()

	s, err = state.Open(dir, nil)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	again, _ := s.ULA()
	recs, _ := s.Registrations("zep0")
	fmt.Println(prefix == again, recs[0].Addr, recs[0].LinkAddr)
	// Output: true fd00::1 02:00:5e:10:00:00:00:01
}
