package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"border-router/internal/config"
	"border-router/internal/doctor"
)

func (a *app) doctorCmd() *cobra.Command {
	var asJSON, noProbe bool
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Check whether a router can run here, and say what to mend",
		Long: `doctor takes the flags and the file of run and checks what that run would need: the
configuration, capabilities, the TUN device, forwarding and accept_ra of the kernel, other
programs that send router advertisements, ModemManager, the clock, the state directory, ports,
and the radios, which it opens if nobody has them. Each line is OK, WARN (the router runs, and
something will not work) or FAIL (it does not), with the command that mends it. What a running
router has in use counts as free.

The exit status is 1 where something fails. Run it as the user of the router; root sees more
of what other programs have open.`,
		Example: `  border-router doctor
  sudo border-router doctor --config /etc/border-router.toml
  border-router doctor --radio auto --uplink user:
  border-router doctor --json`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&noProbe, "no-probe", false, "do not open radios")
	flags := config.NewFlags(f, config.Default)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o := doctor.Options{ConfigFile: flags.File, NoProbe: noProbe}
		o.Config, o.ConfigErr = flags.Load()
		if o.ConfigErr == nil {
			o.ConfigErr = o.Config.Resolve()
		}
		if o.ConfigErr != nil {
			o.Config = nil
		}
		r := doctor.Run(cmd.Context(), o)
		if err := cmd.Context().Err(); err != nil {
			return interrupted(cmd.Context(), err)
		}
		if asJSON {
			if err := a.printJSON(r); err != nil {
				return err
			}
		} else {
			a.printDoctor(r)
		}
		if r.Failures > 0 {
			return &exit{status: exitFailed}
		}
		return nil
	}
	return cmd
}

func (a *app) printDoctor(r *doctor.Report) {
	for _, c := range r.Checks {
		fmt.Fprintf(a.out, "%-4s  %s: %s\n", c.Status, c.Name, c.What)
		if c.Fix != "" {
			fmt.Fprintf(a.out, "      mend: %s\n", c.Fix)
		}
	}
	if slices.ContainsFunc(r.Checks, func(c doctor.Check) bool { return strings.Contains(c.Fix, "sysctl -w") }) {
		fmt.Fprint(a.out, "\nWhat sysctl sets is gone after a reboot: put it, without \"sudo sysctl -w\", into /etc/sysctl.d/60-border-router.conf.\n")
	}
	switch {
	case r.Failures > 0:
		fmt.Fprintf(a.out, "\n%s, %s: mend what failed first\n", plural(r.Failures, "failure"), plural(r.Warnings, "warning"))
	case r.Warnings > 0:
		fmt.Fprintf(a.out, "\n%s: the router runs, and something will not work\n", plural(r.Warnings, "warning"))
	default:
		fmt.Fprint(a.out, "\nall is well\n")
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
