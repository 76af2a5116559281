package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLANPath: what is too long for the mesh is answered with Packet Too Big, and the sender
// goes by it; TCP is told before; fragments to the router itself are put together. Rules of
// the packet filter do what they say, and are counted.
func TestLANPath(t *testing.T) {
	need(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	lan, host, home := newSegment(t), station(t, 64), station(t, 0)
	lan.plug(host, "eth0")
	lan.plug(home, "eth0")
	tape := record(t, host, "eth0")
	r := startLAN(t, home, "--uplink", "ethernet://eth0", "--filters-clamp-mss",
		"--filter", "reject in lan out mesh proto udp dport 9 name discard",
		"--filter", "drop in lan out mesh proto tcp dport 22-23 name logins",
		"--filter", "accept proto icmpv6 type 128 name pings")
	n := live(t, home, 0x02005e1000000001)
	mesh := r.prefix()
	at := joined(t, n, mesh)
	reach(t, host, at, 15*time.Second)
	captured := filepath.Join(r.dir, "mesh.pcapng")
	tap := r.capture(captured)

	// Longer than the mesh carries, and not to be fragmented by anybody on the way.
	out, err := host.Exec("ping", "-6", "-c", "10", "-w", "10", "-i", "0.2", "-M", "do", "-s", "1400", at.String())
	if err == nil || !strings.Contains(out, "mtu=1280") && !strings.Contains(out, "mtu: 1280") && !strings.Contains(out, "mtu = 1280") {
		t.Errorf("ping -M do -s 1400: %v\n%s", err, out)
	}
	// The kernel has learnt it, and cuts by itself.
	if err := answers(host, at, 1400, 3); err != nil {
		t.Error(err)
	}
	if out := host.MustExec("ip", "-6", "route", "get", at.String()); !strings.Contains(out, "mtu 1280") {
		t.Errorf("the path to the node has no MTU of 1280:\n%s", out)
	}
	tape.sees("Packet Too Big with an MTU of 1280", "icmpv6.type == 2 and icmpv6.mtu == 1280")

	echo := func(network string, port int) error {
		var conn net.Conn
		var err error
		host.Do(func() {
			conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), network, netip.AddrPortFrom(at, uint16(port)).String())
		})
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		sent, got := make([]byte, 1400), make([]byte, 1400)
		for i := range sent {
			sent[i] = byte(i)
		}
		if _, err := conn.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if string(got) != string(sent) {
			return fmt.Errorf("%s: other bytes came back", network)
		}
		return nil
	}
	// Services of the node.
	l, err := n.Stack().ListenTCP(netip.AddrPortFrom(at, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	pc, err := n.Stack().ListenPacket(netip.AddrPortFrom(at, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		b := make([]byte, 2048)
		for {
			k, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			pc.WriteTo(b[:k], from)
		}
	}()
	eventually(t, "1400 bytes by UDP", 20*time.Second, func() error { return echo("udp6", 7) })
	eventually(t, "1400 bytes by TCP", 20*time.Second, func() error { return echo("tcp6", 7) })

	// From a node to the LAN.
	var back net.Listener
	host.Do(func() { back, err = net.Listen("tcp6", "[::]:7777") })
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() {
		if c, err := back.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	ula := waitAddr(t, host, anyULA, time.Second, "usable", preferred)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := n.Stack().DialTCP(ctx, netip.AddrPortFrom(ula.Local, 7777))
	if err != nil {
		t.Errorf("from the node to the host: %v", err)
	} else {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		go conn.Write(make([]byte, 8192))
		if k, err := io.ReadFull(conn, make([]byte, 8192)); err != nil {
			t.Errorf("from the node to the host and back: %d bytes, %v", k, err)
		}
		conn.Close()
	}

	// Fragments to our own addresses.
	own := 0
	for _, a := range r.status().Uplink.Addresses {
		own++
		if err := answers(host, a, 3000, 2); err != nil {
			t.Errorf("the router's own address: %v", err)
		}
	}
	if own < 2 {
		t.Errorf("the router has %d addresses, want that of the mesh and one on the LAN", own)
	}

	// The packet filter.
	if err := echo("udp6", 9); err == nil || !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "permission") && !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("a rejected datagram gives %v", err)
	}
	host.Do(func() {
		c, e := (&net.Dialer{Timeout: time.Second}).Dial("tcp6", netip.AddrPortFrom(at, 22).String())
		if e == nil {
			c.Close()
			t.Error("a connection that is to be dropped is there")
		} else if err, ok := e.(net.Error); !ok || !err.Timeout() {
			t.Errorf("a dropped connection gives %v", e)
		}
	})
	f := r.status().Filter
	if f == nil || len(f.Rules) != 3 {
		t.Fatalf("status says of the packet filter: %+v", f)
	}
	for i, want := range []struct {
		name, action string
		min, max     uint64
	}{{"discard", "reject", 1, 3}, {"logins", "drop", 1, 3}, {"pings", "accept", 5, 1000}} {
		if x := f.Rules[i]; x.Name != want.name || x.Action != want.action || x.Packets < want.min || x.Packets > want.max || x.Bytes < 40*x.Packets {
			t.Errorf("rule %d is %+v, want %+v", i, x, want)
		}
	}
	if f.Unmatched == 0 {
		t.Error("no packet without a rule is counted")
	}
	text, err := r.run("status")
	for _, want := range []string{"packet filter: what no rule matches is accepted", "logins", "LAN: eth0, up", "announced  prefix ", "route " + mesh.String(), "we are the querier"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("status does not say %q (%v):\n%s", want, err, text)
		}
	}
	r.checkCounters()
	tap.end(2 * time.Second)
	checkMSS(t, captured, mesh)
	r.p.end(time.Second)
}

// checkMSS finds in what was captured on the mesh that TCP was told what it carries.
func checkMSS(t *testing.T, file string, mesh netip.Prefix) {
	t.Helper()
	c := &recording{t: t, file: file}
	found := false
	for _, l := range c.read("tcp.flags.syn == 1 and frame.interface_name contains \"zep\"", "tcp.options.mss_val") {
		for v := range strings.SplitSeq(l, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			found = found || err == nil
			if n > 1220 {
				t.Errorf("a segment size of %d was let through, want at most 1220", n)
			}
		}
	}
	if !found {
		t.Errorf("no TCP SYN in the capture of the mesh %v", mesh)
	}
}
