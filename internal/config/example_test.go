package config_test

import (
	"fmt"

	"border-router/internal/config"
)

func Example() {
	c := config.Default()
	err := c.Parse("border-router.toml", []byte(`
uplink = "user:"
prefixes = ["fd12:3456:789a::/48"]
[nd]
router_lifetime = "1h"
hop_limt = 32
`))
	fmt.Println(err)
	fmt.Println(c.Uplink, c.Prefixes[0], c.ND.RouterLifetime)
	// Output:
	// border-router.toml:6: unknown key "nd.hop_limt"; did you mean "nd.hop_limit"?
	// user: fd12:3456:789a::/48 1h0m0s
}
