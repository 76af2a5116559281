package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"border-router/ieee802154/slipradio"
	"border-router/internal/dongle"
	"border-router/internal/radios"
)

// runDongle serves an emulated dongle on a pseudo-terminal until ctx ends.
func runDongle(ctx context.Context, c dongleConfig, out io.Writer) error {
	eui64 := uint64(c.EUI64)
	if eui64 == 0 {
		eui64 = rand.Uint64()&^(1<<56) | 2<<56 // locally administered, of one device
	}
	u, err := radios.Parse(string(c.Radio))
	if err != nil {
		return err
	}
	if c.Radio.Scheme() != "zep" {
		return fmt.Errorf("radio %s: the air of an emulated dongle is a ZEP medium; want a zep:// URL", u)
	}
	air, err := u.Open(radios.Options{EUI64: eui64})
	if err != nil {
		return err
	}
	defer air.Close()
	port, err := dongle.OpenPTY()
	if err != nil {
		return err
	}
	defer port.Close()
	path := port.Path
	if c.Link != "" {
		if path, err = link(port.Path, c.Link); err != nil {
			return err
		}
		defer os.Remove(path)
	}
	var firmware interface {
		Serve(io.ReadWriter) error
		io.Closer
	}
	scheme := "slip"
	switch c.Protocol {
	case "spinel":
		scheme = "spinel"
		firmware = dongle.NewSpinel(dongle.SpinelConfig{Air: air, EUI64: eui64})
	case "slip":
		firmware = dongle.NewSlip(dongle.SlipConfig{Air: air, EUI64: eui64, Dialect: slipradio.Slip})
	case "6lbr":
		firmware = dongle.NewSlip(dongle.SlipConfig{Air: air, EUI64: eui64, Dialect: slipradio.SixLBR})
	case "serialradio":
		firmware = dongle.NewSlip(dongle.SlipConfig{Air: air, EUI64: eui64, Dialect: slipradio.SerialRadio})
	}
	fmt.Fprintf(out, "%s dongle on %s, channel %d, PAN 0x%04x; Ctrl-C ends it\n", c.Protocol, port.Path, air.Channel(), u.Settings().PAN)
	fmt.Fprintf(out, "  border-router run --radio '%s://%s?channel=%d&pan=0x%04x'\n", scheme, path, air.Channel(), u.Settings().PAN)
	served := make(chan error, 1)
	go func() { served <- firmware.Serve(dongle.Paced(port, c.Baud)) }()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
		served <- err
	}
	port.Close()
	air.Close()
	firmware.Close()
	<-served
	return err
}

// link makes a symbolic link, in place of one of an earlier run, and returns its whole path.
func link(to, at string) (string, error) {
	at, err := filepath.Abs(at)
	if err != nil {
		return "", err
	}
	if i, err := os.Lstat(at); err == nil && i.Mode()&os.ModeSymlink != 0 {
		if err := os.Remove(at); err != nil {
			return "", err
		}
	}
	return at, os.Symlink(to, at)
}
