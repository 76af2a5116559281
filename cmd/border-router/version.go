package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"border-router/internal/api"
)

func (a *app) versionCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version [flags]",
		Short:   "Print the version of this program",
		Long:    `version prints the version of this program, the Go it was built with, and the commit.`,
		Example: `  border-router version`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := api.BuildVersion()
			if asJSON {
				e := json.NewEncoder(a.out)
				e.SetIndent("", "  ")
				return e.Encode(v)
			}
			fmt.Fprintf(a.out, "border-router %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			if v.Commit != "" {
				modified := ""
				if v.Modified {
					modified = ", modified"
				}
				fmt.Fprintf(a.out, "commit %s, %s%s\n", v.Commit, v.Time, modified)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) completionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, zsh, fish or powershell",
		Long: `completion prints a script that completes the commands and flags of border-router in a shell:
bash, zsh, fish or powershell.`,
		Example: `  source <(border-router completion bash)
  border-router completion zsh > "${fpath[1]}/_border-router"
  border-router completion fish > ~/.config/fish/completions/border-router.fish`,
		Args:      oneArg("the shell: bash, zsh, fish or powershell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usageError(cmd, fmt.Errorf("unknown shell %q: want bash, zsh, fish or powershell", args[0]))
		},
	}
	return cmd
}
