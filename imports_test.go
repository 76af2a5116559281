package border_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports asserts the direction of the package graph: each rule names packages, what
// they may not depend on, and why.
func TestImports(t *testing.T) {
	const mod = "border-router/"
	out, err := exec.Command("go", "list", "-deps=false", "-f", "{{.ImportPath}}:{{join .Deps \" \"}}", "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	deps := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		pkg, list, _ := strings.Cut(strings.TrimSpace(line), ":")
		deps[strings.TrimPrefix(pkg, mod)] = strings.Fields(list)
	}
	own := func(dep string) bool { return strings.HasPrefix(dep, mod) }
	external := func(dep string) bool {
		first, _, _ := strings.Cut(dep, "/")
		return strings.Contains(first, ".")
	}
	under := func(prefixes ...string) func(string) bool {
		return func(dep string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool {
				return dep == mod+p || strings.HasPrefix(dep, mod+p+"/")
			})
		}
	}
	edges := []string{"internal/api", "internal/capture", "internal/coap", "internal/config", "internal/daemon", "internal/decode",
		"internal/hoststack", "internal/node", "internal/sim", "internal/state", "internal/tun", "cmd"}

	rules := []struct {
		pkgs   []string
		forbid func(dep string) bool
		why    string
	}{
		{[]string{"ipv6", "ieee802154", "internal/timerq", "internal/addrtable"}, func(d string) bool { return own(d) || external(d) },
			"leaves use the standard library only, so that anything may build on them"},
		{[]string{"nd", "mld"}, under(append(edges, "router", "lowpan", "ieee802154", "zep", "dhcp6")...),
			"protocol machines know packets and time, neither radios nor the router that holds them"},
		{[]string{"lowpan"}, under(append(edges, "router", "nd", "zep")...),
			"the adaptation layer satisfies router.Port structurally"},
		{[]string{"dhcp6"}, under(append(edges, "router", "lowpan", "ieee802154", "zep", "nd", "mld")...),
			"the messages come from a library, the machines know neither links nor the router"},
		{[]string{"internal/ethernet"}, under("router", "nd", "mld", "dhcp6", "lowpan", "ieee802154", "zep", "internal/daemon", "internal/config", "cmd"),
			"a port is an edge: it satisfies router.Port structurally"},
		{[]string{"zep"}, under(append(edges, "router", "nd", "lowpan")...),
			"a radio carries MAC frames and nothing above"},
		{[]string{"ieee802154/spinel", "ieee802154/slipradio", "ieee802154/wpan"},
			under("router", "nd", "lowpan", "zep", "internal/api", "internal/config", "internal/daemon", "internal/node", "internal/state", "cmd"),
			"a driver is a radio and knows its line and frames"},
		{[]string{"ieee802154/driver"}, func(d string) bool { return own(d) && d != mod+"ieee802154" || external(d) },
			"what drivers share knows no line and no frame of theirs"},
		{[]string{"router"}, under(append(edges, "lowpan", "ieee802154", "zep")...),
			"the router imports no radio and no adaptation layer"},
		{[]string{"ipv6", "ieee802154", "lowpan", "nd", "mld", "router"}, external,
			"what the project exists for is its own and has no dependencies"},
		{[]string{"internal/tun", "internal/hoststack", "internal/state", "internal/capture"},
			under("internal/daemon", "internal/api", "internal/node", "internal/sim", "internal/config", "internal/decode", "cmd"),
			"edges are wired together by the daemon, never by each other"},
		{[]string{"internal/decode"}, under("router", "internal/daemon", "internal/api", "internal/node", "internal/sim",
			"internal/config", "internal/state", "internal/tun", "internal/hoststack", "cmd"),
			"decoding a capture needs the codecs and no router"},
		{[]string{"ipv6", "ieee802154", "lowpan", "nd", "router", "zep", "internal/tun", "internal/state", "internal/api",
			"internal/config", "internal/capture", "internal/coap", "internal/decode"},
			func(d string) bool { return strings.HasPrefix(d, "gvisor.dev/") },
			"only the user-space host stack and what assembles it carry gVisor"},
	}
	for _, rule := range rules {
		for _, pkg := range rule.pkgs {
			list, ok := deps[pkg]
			if !ok {
				t.Errorf("package %s does not exist; mend the rule", pkg)
				continue
			}
			for _, dep := range list {
				if rule.forbid(dep) {
					t.Errorf("%s depends on %s: %s", pkg, dep, rule.why)
				}
			}
		}
	}
}
