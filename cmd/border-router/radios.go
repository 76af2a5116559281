package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"border-router/internal/discover"
)

func (a *app) radiosCmd() *cobra.Command {
	var asJSON, list, noNoise bool
	cmd := &cobra.Command{
		Use:   "radios [PORT|URL]... [flags]",
		Short: "Find radios, and say what firmware they have",
		Long: `radios lists the serial ports of this machine (USB, and the UART of a Raspberry Pi) and asks
each which radio firmware is on it: OpenThread's RCP, Contiki-NG's slip-radio, 6LBR's, or
serialradio, at 460800, 115200, 1000000 and 921600 baud. Radios of the kernel are listed as
well. With arguments it looks at those only: paths of ports, or URLs of radios such as
spinel+tcp://192.0.2.7:5000.

A port that a process has open is not touched; it is said which. Every other one is sent a few
bytes, and a radio that answers is reset: say --list to touch none. Processes of other users
are seen by root only.

The exit status is 1 where no radio was found.`,
		Example: `  border-router radios
  border-router radios --list
  border-router radios /dev/ttyACM0
  border-router radios --json spinel+tcp://192.0.2.7:5000`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p := discover.Prober{Noise: !noNoise}
			var found []discover.Result
			switch {
			case list && len(args) > 0:
				return usageError(cmd, fmt.Errorf("unexpected argument %q beside --list", args[0]))
			case list:
				found = p.List()
			case len(args) > 0:
				for _, target := range args {
					found = append(found, p.ProbeTarget(cmd.Context(), target))
				}
			default:
				found = p.Probe(cmd.Context())
			}
			if err := cmd.Context().Err(); err != nil {
				return interrupted(cmd.Context(), err)
			}
			if asJSON {
				if found == nil {
					found = []discover.Result{}
				}
				if err := a.printJSON(found); err != nil {
					return err
				}
			} else {
				a.printRadios(found, list)
			}
			isRadio := func(r discover.Result) bool { return r.State == discover.StateRadio }
			if !list && !slices.ContainsFunc(found, isRadio) {
				return &exit{status: exitFailed}
			}
			return nil
		},
	}
	cmd.ValidArgsFunction = completePorts
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&list, "list", false, "list the ports and who has them open, and touch none")
	f.BoolVar(&noNoise, "no-noise", false, "do not have radios measure the noise on each channel")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// completePorts completes the path of a port, with what is plugged in there beside it, or the
// beginning of a URL. It touches no port.
func completePorts(_ *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
	return portCompletions(discover.System{}, start), cobra.ShellCompDirectiveNoSpace
}

func portCompletions(system discover.System, start string) []string {
	var out []string
	add := func(text, what string) {
		if strings.HasPrefix(text, start) {
			out = append(out, text+"\t"+what)
		}
	}
	for _, p := range system.Ports() {
		add(p.Path, p.String())
		if p.ByID != "" {
			add(p.ByID, p.String())
		}
	}
	for _, name := range system.Interfaces() {
		add("wpan://"+name, protocolText[discover.WPAN])
	}
	add("spinel+tcp://", "OpenThread RCP behind a TCP port")
	add("slip+tcp://", "slip-radio behind a TCP port")
	add("zep://", "frames in UDP")
	return out
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (a *app) printRadios(found []discover.Result, list bool) {
	if len(found) == 0 {
		fmt.Fprint(a.out, `no serial port and no kernel radio was found
  Is the dongle plugged in? lsusb lists it, dmesg says what became of it.
  In a container: --device /dev/ttyACM0. In a virtual machine: hand the USB device through.
  A radio on the network: border-router radios spinel+tcp://HOST:PORT
  Without hardware: border-router dongle emulates one.
`)
		return
	}
	denied := false
	for i, r := range found {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		denied = denied || r.State == discover.StateDenied
		a.printRadio(&r)
	}
	if denied {
		fmt.Fprint(a.out, "\nto be allowed to use serial ports: sudo usermod -aG dialout $USER, then log in anew\n")
	}
	if !list && !slices.ContainsFunc(found, func(r discover.Result) bool { return r.State == discover.StateRadio }) {
		fmt.Fprint(a.out, "\nno radio was found\n")
	}
}

func (a *app) printRadio(r *discover.Result) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(a.out, "  %-13s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(a.out, r.Target)
	if p := r.Port; p != nil {
		if p.ByID != "" {
			line("by id", "%s", p.ByID)
		}
		if s := p.String(); s != "" {
			if p.Serial != "" {
				s += ", serial " + p.Serial
			}
			line("device", "%s", s)
		}
	}
	q := r.Radio
	if q == nil {
		line(strings.ReplaceAll(string(r.State), "_", " "), "%s", dash(r.Detail))
		return
	}
	what := protocolText[q.Protocol]
	if q.Baud > 0 {
		what += fmt.Sprintf(", %d baud", q.Baud)
	}
	line("radio", "%s", what)
	if q.Version != "" {
		line("firmware", "%s", q.Version)
	}
	if q.EUI64 != "" {
		line("EUI-64", "%s", q.EUI64)
	}
	if q.Caps != nil {
		line("capabilities", "%s", dash(strings.Join(q.Caps, ", ")))
	}
	if len(q.Channels) > 0 {
		line("channels", "%s", ranges(q.Channels))
	}
	if q.Channel > 0 {
		line("now", "channel %d, PAN %s", q.Channel, q.PAN)
	}
	if len(q.Noise) > 0 {
		line("noise", "%s", noiseText(q.Noise))
	}
	if q.Note != "" {
		line("note", "%s", q.Note)
	}
	line("use it", "border-router run --radio '%s'", q.URL)
}

var protocolText = map[discover.Protocol]string{
	discover.Spinel:      "OpenThread RCP (Spinel)",
	discover.Slip:        "Contiki-NG slip-radio",
	discover.SixLBR:      "slip-radio of 6LBR",
	discover.SerialRadio: "Contiki-NG serialradio",
	discover.WPAN:        "radio of the Linux kernel",
	discover.ZEP:         "ZEP",
}

// noiseText says the noise of each channel, "-95 dBm on 11-14, -71 dBm on 15".
func noiseText(noise []discover.Energy) string {
	by := map[int8][]uint8{}
	var levels []int8
	for _, e := range noise {
		if by[e.DBm] == nil {
			levels = append(levels, e.DBm)
		}
		by[e.DBm] = append(by[e.DBm], e.Channel)
	}
	slices.Sort(levels)
	var l []string
	for _, v := range levels {
		l = append(l, fmt.Sprintf("%d dBm on %s", v, ranges(by[v])))
	}
	return strings.Join(l, ", ")
}

// ranges writes sorted numbers as "11-14, 16".
func ranges(n []uint8) string {
	var l []string
	for i := 0; i < len(n); {
		j := i
		for j+1 < len(n) && n[j+1] == n[j]+1 {
			j++
		}
		s := strconv.Itoa(int(n[i]))
		if j > i {
			s += "-" + strconv.Itoa(int(n[j]))
		}
		l = append(l, s)
		i = j + 1
	}
	return strings.Join(l, ", ")
}
