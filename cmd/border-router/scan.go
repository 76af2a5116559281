package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"border-router/internal/config"
	"border-router/internal/discover"
)

func (a *app) scanCmd() *cobra.Command {
	var asJSON bool
	channels, dwell := "11-26", discover.DefaultDwell
	cmd := &cobra.Command{
		Use:   "scan [PORT|URL] [flags]",
		Short: "Find a quiet channel, and the networks on the others",
		Long: `scan measures the strongest signal on each channel, asks there for beacons, and suggests a
channel: a quiet one without a network. The radio is that of the argument, the path of a port
or a URL, or else the one that is found; it must not be in use.

Dongles with OpenThread's RCP firmware do all of it; slip-radio, ZEP and the kernel's radios
do not measure, which is said. A ZEP hub is asked as one of its nodes would. An interface of
the kernel must be down: a monitor interface, which takes root, stands in for it.`,
		Example: `  border-router scan
  border-router scan /dev/ttyACM0 --channels 15,20,25,26 --duration 1s
  sudo border-router scan wpan://wpan0
  border-router scan 'zep://[::1]:17754?mode=client' --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, fmt.Errorf("unexpected argument %q", args[1]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := parseChannels(channels)
			if err != nil {
				return usageError(cmd, fmt.Errorf("--channels %q: %w", channels, err))
			}
			cfg := discover.ScanConfig{Channels: list, Dwell: dwell}
			if len(args) == 1 {
				cfg.Target = args[0]
			}
			shown := false
			if !asJSON {
				cfg.Progress = func(c discover.ChannelReport) {
					if !shown {
						fmt.Fprintln(a.out, "channel   MHz   signal")
						shown = true
					}
					fmt.Fprintln(a.out, channelLine(&c))
				}
			}
			r, err := discover.Scan(cmd.Context(), cfg)
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			if asJSON {
				return a.printJSON(r)
			}
			a.printReport(r)
			return nil
		},
	}
	cmd.ValidArgsFunction = completePorts
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&channels, "channels", channels, "channels, a `LIST` such as 15,20,25-26")
	f.Var(config.Var(&dwell, "10ms..1m"), "duration", "time on each channel, for the signal and once more for beacons")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// parseChannels reads a list such as "11,15-17".
func parseChannels(s string) ([]uint8, error) {
	const want = "want channels from 11 to 26, such as 15,20,25-26"
	var out []uint8
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, span := strings.Cut(strings.TrimSpace(part), "-")
		if !span {
			hi = lo
		}
		a, err := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if err != nil || err2 != nil || a < 11 || b > 26 || a > b {
			return nil, fmt.Errorf("%s", want)
		}
		for c := a; c <= b; c++ {
			if !slices.Contains(out, uint8(c)) {
				out = append(out, uint8(c))
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// The scale of the bars: floor is empty, and each character is perChar dB.
const (
	barFloor   = -100
	barPerChar = 2
	barMax     = 40
)

func channelLine(c *discover.ChannelReport) string {
	level, bar := "      -", ""
	if c.Energy != nil {
		level = fmt.Sprintf("%4d dBm", *c.Energy)
		bar = strings.Repeat("#", min(max((int(*c.Energy)-barFloor)/barPerChar, 0), barMax))
	}
	var heard []string
	if len(c.PANs) > 0 {
		heard = append(heard, "PAN "+strings.Join(c.PANs, ", "))
	}
	if c.Frames > 0 {
		heard = append(heard, fmt.Sprintf("%d frames", c.Frames))
	}
	return strings.TrimRight(fmt.Sprintf("%7d  %4d  %-8s %-*s %s", c.Channel, c.MHz, level, barMax, bar, strings.Join(heard, ", ")), " ")
}

func (a *app) printReport(r *discover.Report) {
	if len(r.Beacons) == 0 {
		fmt.Fprint(a.out, "\nno coordinator answered\n")
	} else {
		fmt.Fprint(a.out, "\nnetworks that answered:\n")
		t := table{header: []string{"CHANNEL", "PAN", "COORDINATOR", "RSSI", "LQI", "JOIN", "NETWORK"}, right: numbers(0, 3, 4)}
		for _, b := range r.Beacons {
			rssi := "-"
			if b.RSSI != nil {
				rssi = strconv.Itoa(int(*b.RSSI))
			}
			t.row(strconv.Itoa(int(b.Channel)), b.PAN, b.Coordinator, rssi, strconv.Itoa(int(b.LQI)), yesNo(b.Associate), dash(b.Network))
		}
		t.print(a.out, "  ")
	}
	fmt.Fprintln(a.out)
	for _, n := range r.Notes {
		fmt.Fprintf(a.out, "note: %s\n", n)
	}
	fmt.Fprintf(a.out, "suggested channel: %d (%s)\n", r.Suggested, r.Reason)
}
