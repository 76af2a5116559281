package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"border-router/internal/config"
)

func (a *app) configCmd() *cobra.Command {
	var reference, check, running, asJSON bool
	cmd := &cobra.Command{
		Use:   "config [flags]",
		Short: "Print the configuration",
		Long: `config prints the settings that run would have with the same file and the same flags, as a
file that run would take. With --default it prints the reference file, which explains every
key; with --running, what the running router has.`,
		Example: `  border-router config --default > border-router.toml
  border-router config --config border-router.toml --check
  border-router config --config border-router.toml --log-level debug
  border-router config --running`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&reference, "default", false, "print the reference file: every key explained, with its default")
	f.BoolVar(&check, "check", false, "print nothing but what is wrong; exit status 1 if anything is")
	f.BoolVar(&running, "running", false, "ask the running router")
	f.BoolVar(&asJSON, "json", false, "print JSON instead of TOML")
	flags := config.NewFlags(f, config.Default)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := exclusive(cmd, "default", "check", "running"); err != nil {
			return err
		}
		switch {
		case reference:
			_, err := fmt.Fprint(a.out, config.Reference())
			return err
		case running:
			// --socket says which router here, not what a router would use.
			if v := cmd.Flags().Lookup("socket"); v.Changed {
				a.socket = v.Value.String()
			}
			v, err := a.client().Config(cmd.Context())
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.printConfig(v.TOML, v.Values, asJSON)
		}
		c, err := flags.Load()
		if err != nil || check {
			return err
		}
		if err := c.Resolve(); err != nil {
			return err
		}
		return a.printConfig(c.TOML(), c.Values(), asJSON)
	}
	return cmd
}

func (a *app) printConfig(toml string, values map[string]any, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprint(a.out, toml)
		return err
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(values)
}
