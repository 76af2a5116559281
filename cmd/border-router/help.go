package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"border-router/internal/config"
)

// usageTemplate is that of cobra with the flags in groups.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND [flags]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{flagUsages .}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more about a command.{{end}}
`

// flagUsages lists the flags of cmd, those of each section of the configuration apart.
func flagUsages(cmd *cobra.Command) string {
	titles := []string{"Flags"}
	groups := map[string]*pflag.FlagSet{}
	group := func(title string) *pflag.FlagSet {
		g := groups[title]
		if g == nil {
			g = pflag.NewFlagSet(title, pflag.ContinueOnError)
			g.SortFlags = false
			groups[title] = g
			if title != "Flags" {
				titles = append(titles, title)
			}
		}
		return g
	}
	add := func(f *pflag.Flag) {
		title := "Flags"
		if key := f.Annotations[config.AnnotationKey]; len(key) == 1 {
			if section, _, ok := strings.Cut(key[0], "."); ok {
				title = "Settings of section [" + section + "]"
			}
		}
		group(title).AddFlag(f)
	}
	cmd.Flags().SortFlags = false
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	var b strings.Builder
	for _, t := range titles {
		if g := groups[t]; g != nil && g.HasAvailableFlags() {
			b.WriteString("\n\n" + t + ":\n")
			b.WriteString(strings.TrimRight(g.FlagUsagesWrapped(100), "\n"))
		}
	}
	return b.String()
}
