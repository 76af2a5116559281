package dongle_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"border-router/ieee802154/slipradio"
	"border-router/ieee802154/spinel"
	"border-router/internal/dongle"
	"border-router/internal/serial"
	"border-router/zep"
)

// air returns a ZEP medium and a radio on it, which a dongle sends with.
func air(eui64 uint64) (medium, radio *zep.Radio, err error) {
	medium, err = zep.Open(zep.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Channel: 26})
	if err != nil {
		return nil, nil, err
	}
	radio, err = zep.Open(zep.Config{Mode: zep.Client, Remote: medium.LocalAddrs(), EUI64: eui64, Channel: 26})
	return medium, radio, err
}

// A driver opens an emulated RCP on a pseudo-terminal as it does a dongle.
func ExampleNewSpinel() {
	const eui64 = 0x00124b0000000001
	medium, radio, err := air(eui64)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer medium.Close()
	port, err := dongle.OpenPTY()
	if err != nil {
		fmt.Println(err)
		return
	}
	d := dongle.NewSpinel(dongle.SpinelConfig{Air: radio, EUI64: eui64})
	defer d.Close()
	defer radio.Close() // first: the dongle listens to it
	go d.Serve(port)
	defer port.Close()

	r, err := spinel.Open(spinel.Config{Port: serial.Config{Path: port.Path}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	info, err := r.WaitUp(ctx)
	fmt.Printf("%016x, Spinel %d, %d baud, %v\n", info.EUI64, info.Major, info.Baud, err)
	// Output: 00124b0000000001, Spinel 4, 460800 baud, <nil>
}

// The same with a slip-radio: dialect and rate are found.
func ExampleNewSlip() {
	const eui64 = 0x00124b0000000002
	medium, radio, err := air(eui64)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer medium.Close()
	port, err := dongle.OpenPTY()
	if err != nil {
		fmt.Println(err)
		return
	}
	d := dongle.NewSlip(dongle.SlipConfig{Air: radio, EUI64: eui64})
	defer d.Close()
	go d.Serve(port)
	defer port.Close()

	r, err := slipradio.Open(slipradio.Config{Name: port.Path, Dial: func(context.Context) (io.ReadWriteCloser, error) {
		return serial.Open(serial.Config{Path: port.Path})
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	info, err := r.WaitUp(ctx)
	fmt.Printf("%016x, %v, %d baud, %v\n", info.EUI64, info.Dialect, info.Baud, err)
	// Output: 00124b0000000002, slip, 115200 baud, <nil>
}
