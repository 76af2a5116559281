package netnstest

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestLink(t *testing.T) {
	a, b := New(t), New(t)
	a.LinkTo(b, "to-b", "to-a")
	a.AddAddress("to-b", netip.MustParsePrefix("fd00:1::1/64"))
	b.AddAddress("to-a", netip.MustParsePrefix("fd00:1::2/64"))
	b.AddRoute(netip.MustParsePrefix("fd00:2::/64"), netip.MustParseAddr("fd00:1::1"), "to-a")

	var server, client net.PacketConn
	var err error
	b.Do(func() { server, err = net.ListenPacket("udp6", "[fd00:1::2]:5683") })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	a.Do(func() { client, err = net.ListenPacket("udp6", "[fd00:1::1]:0") })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.WriteTo([]byte("x"), server.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	_ = server.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 8)
	n, from, err := server.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "x" || from.String() != client.LocalAddr().String() {
		t.Fatalf("got %q from %v, %v", buf[:n], from, err)
	}
}

func TestProcesses(t *testing.T) {
	n := New(t)
	out := n.MustExec("cat", "/proc/net/dev")
	if !strings.Contains(out, "lo:") || strings.Contains(out, "eth0:") {
		t.Errorf("interfaces of the namespace:\n%s", out)
	}
	if _, err := n.Exec("false"); err == nil {
		t.Error("exit status 1 is not an error")
	}
	cmd := exec.Command("sleep", "1000")
	if err := n.Start(cmd); err != nil { // killed by the cleanup
		t.Fatal(err)
	}
}

func TestDoNests(t *testing.T) {
	a, b := New(t), New(t)
	id := func() string {
		s, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		return s[len(s)-1].Name
	}
	a.LinkTo(b, "in-a", "in-b")
	before := id()
	a.Do(func() {
		b.Do(func() {
			if got := id(); got != "in-b" {
				t.Errorf("inside b: %s", got)
			}
		})
		if got := id(); got != "in-a" {
			t.Errorf("back in a: %s", got)
		}
	})
	if got := id(); got != before {
		t.Errorf("after all: %s, want %s", got, before)
	}
}
