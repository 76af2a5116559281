//go:build !linux

package doctor

import "context"

// Run has nothing to check: what a router needs of its machine is known for Linux.
func Run(context.Context, Options) *Report {
	return &Report{Checks: []Check{{"system", Fail, "this is not Linux", "run the router on Linux; border-router sim runs everywhere"}}, Failures: 1}
}
