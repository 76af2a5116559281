package e2e_test

import (
	"net"
	"testing"
)

// freePort returns a UDP port of 127.0.0.1 and ::1 that nobody uses.
func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}
