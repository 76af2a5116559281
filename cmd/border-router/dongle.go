package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"border-router/internal/config"
)

// A dongleConfig is what the dongle command is told.
type dongleConfig struct {
	Protocol string       // firmware
	Radio    config.Radio // the air
	EUI64    config.EUI64 // 0: made up
	Link     string       // symbolic link to the port; empty: none
	Baud     int          // pace of the port, bit/s; 0: none
}

var dongleProtocols = []string{"spinel", "slip", "6lbr", "serialradio"}

func (a *app) dongleCmd() *cobra.Command {
	c := dongleConfig{Protocol: "spinel", Radio: "zep://?mode=client"}
	cmd := &cobra.Command{
		Use:   "dongle [flags]",
		Short: "Emulate a USB dongle on a ZEP medium",
		Long: `dongle is a USB dongle without hardware: it makes a serial port (a pseudo-terminal) that
behaves as one with OpenThread's RCP firmware (spinel), Contiki-NG's slip-radio (slip), that of
6LBR (6lbr) or serialradio, and sends and receives on a ZEP medium. The router, or any other
program that drives such dongles, can be tried on it.`,
		Example: `  border-router sim                                     # a medium with nodes on it, in one terminal
  border-router dongle --link /tmp/dongle               # in a second one
  border-router run --radio 'spinel:///tmp/dongle?channel=26&pan=0x0023' --uplink user:   # in a third`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			known := false
			for _, p := range dongleProtocols {
				known = known || p == c.Protocol
			}
			if !known {
				return usageError(cmd, fmt.Errorf("--protocol %q: want spinel, slip, 6lbr or serialradio", c.Protocol))
			}
			if c.Baud != 0 && (c.Baud < 1200 || c.Baud > 10_000_000) {
				return usageError(cmd, fmt.Errorf("--baud %d: want 1200 to 10000000, or 0 for no pace", c.Baud))
			}
			return ended(cmd.Context(), runDongle(cmd.Context(), c, a.out))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Protocol, "protocol", c.Protocol, "`FIRMWARE`: spinel, slip, 6lbr or serialradio")
	f.Var(config.Var(&c.Radio, ""), "zep", "the medium, a radio `URL` of a ZEP client")
	f.Var(config.Var(&c.EUI64, ""), "eui64", "EUI-64 of the dongle (default: a new one each time)")
	f.StringVar(&c.Link, "link", "", "make a symbolic link at `PATH` to the port")
	f.IntVar(&c.Baud, "baud", 0, "pace of the port in `BIT/S`, as of a real serial line; 0: as fast as it goes")
	return cmd
}
