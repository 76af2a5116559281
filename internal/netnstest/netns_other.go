//go:build !linux

package netnstest

import (
	"net/netip"
	"os/exec"
	"testing"
)

// An NS is a network namespace. There is none on this operating system.
type NS struct{}

// New skips the test.
func New(t testing.TB) *NS {
	t.Helper()
	t.Skip("network namespaces need Linux")
	return nil
}

// Alone does nothing.
func Alone(testing.TB) {}

// Do does nothing.
func (n *NS) Do(func()) {}

// Exec returns an error.
func (n *NS) Exec(string, ...string) (string, error) { return "", exec.ErrNotFound }

// MustExec returns nothing.
func (n *NS) MustExec(string, ...string) string { return "" }

// Start returns an error.
func (n *NS) Start(*exec.Cmd) error { return exec.ErrNotFound }

// LinkTo does nothing.
func (n *NS) LinkTo(*NS, string, string) {}

// AddAddress does nothing.
func (n *NS) AddAddress(string, netip.Prefix) {}

// AddRoute does nothing.
func (n *NS) AddRoute(netip.Prefix, netip.Addr, string) {}

// Sysctl does nothing.
func (n *NS) Sysctl(string, string) {}
