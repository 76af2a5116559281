package netnstest_test

import (
	"net/netip"
	"testing"

	"border-router/internal/netnstest"
)

// Two namespaces with a link between them, and a program that runs in one of them. Needs the
// testing.T of the test that it stands in, and root.
func ExampleNew() {
	_ = func(t *testing.T) {
		home, lan := netnstest.New(t), netnstest.New(t)
		home.LinkTo(lan, "eth0", "eth0")
		home.AddAddress("eth0", netip.MustParsePrefix("2001:db8::1/64"))
		lan.AddAddress("eth0", netip.MustParsePrefix("2001:db8::2/64"))
		t.Log(lan.MustExec("ping", "-6", "-c", "1", "2001:db8::1"))
	}
}
