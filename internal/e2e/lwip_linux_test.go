package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

const lwipHeader = "/usr/include/lwip/netif/zepif.h"

// compileLwIP makes the node of testdata/lwip-node.c with Debian's lwIP.
func compileLwIP(t *testing.T) string {
	t.Helper()
	need(t, "gcc", "ip", "tshark", "dumpcap", "ping")
	if _, err := os.Stat(lwipHeader); err != nil {
		t.Skipf("lwIP is not installed (%v); scripts/test installs liblwip-dev as root", err)
	}
	bin := filepath.Join(t.TempDir(), "lwip-node")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-O1", "-I/usr/include/lwip", "-o", bin, "testdata/lwip-node.c", "-llwip").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return bin
}

// A lwipNode is a process that is one device on lwIP.
type lwipNode struct {
	*process
	stdin io.Writer
}

func startLwIP(t *testing.T, ns *netnstest.NS, bin string, args ...string) *lwipNode {
	t.Helper()
	p := &process{t: t, name: "lwip-node " + strings.Join(args, " "), cmd: exec.Command(bin, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.output())
		}
	})
	return &lwipNode{p, stdin}
}

// address waits for the address that the node forms in prefix.
func (n *lwipNode) address(prefix netip.Prefix) (a netip.Addr) {
	n.t.Helper()
	eventually(n.t, n.name+" has an address", 20*time.Second, func() error {
		for line := range strings.Lines(n.output()) {
			f := strings.Fields(line)
			if len(f) != 3 || f[0] != "addr" || f[2] != "preferred" {
				continue
			}
			if x, err := netip.ParseAddr(f[1]); err == nil && prefix.Contains(x) {
				a = x
				return nil
			}
		}
		return fmt.Errorf("says %q", n.output())
	})
	return a
}

// udp has the node send a datagram to an echo service and compare what comes back.
func (n *lwipNode) udp(to netip.AddrPort, size int) error {
	before := strings.Count(n.output(), "udp ")
	fmt.Fprintf(n.stdin, "udp %s %d %d\n", to.Addr(), to.Port(), size)
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s := n.output(); strings.Count(s, "udp ") > before && strings.HasSuffix(s, "\n") {
			line := strings.TrimSpace(s[strings.LastIndex(s, "udp "):])
			if !strings.HasSuffix(line, " ok") {
				return fmt.Errorf("%d bytes from the node to %s: %s", size, to, line)
			}
			return nil
		}
	}
	return fmt.Errorf("%d bytes to %s: no answer from the node's program", size, to)
}

// echoUDP sends size bytes to an echo service and compares what comes back.
func echoUDP(ns *netnstest.NS, to netip.AddrPort, size int) (err error) {
	var c net.Conn
	ns.Do(func() { c, err = net.Dial("udp6", to.String()) })
	if err != nil {
		return err
	}
	defer c.Close()
	b, got := make([]byte, size), make([]byte, 2048)
	for i := range b {
		b[i] = byte(i*3 + size)
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(4 * time.Second))
	n, err := c.Read(got)
	if err != nil {
		return fmt.Errorf("%d bytes to %s: %w", size, to, err)
	}
	if !bytes.Equal(got[:n], b) {
		return fmt.Errorf("%d bytes to %s: %d others came back", size, to, n)
	}
	return nil
}

// serveEcho runs an echo service in ns until the end of the test.
func serveEcho(t *testing.T, ns *netnstest.NS, at netip.AddrPort) {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket("udp6", at.String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
}

// tsharkLines returns what tshark prints of the packets in file that match filter.
func tsharkLines(t *testing.T, file, context0, filter string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tshark", "-r", file, "-o", context0, "-o", "udp.check_checksum:TRUE", "-Y", filter)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

func pingFrom(ns *netnstest.NS, to netip.Addr, size int) error {
	out, err := ns.Exec("ping", "-6", "-c", "2", "-i", "0.2", "-W", "4", "-s", fmt.Sprint(size), to.String())
	if err != nil || !strings.Contains(out, " 0% packet loss") {
		return fmt.Errorf("ping -s %d %s: %w\n%s", size, to, err, out)
	}
	return nil
}

// TestLwIP has nodes that are lwIP join, by themselves and on first boot, and talk to the
// kernel, to a host beyond it, and to each other: over the hub, and where all send to the
// broadcast address, which is what zepif does unless told otherwise. One node is as out of
// the box, the other as an application may set it up.
func TestLwIP(t *testing.T) {
	node := compileLwIP(t)
	bin := build(t)
	const eui = "eui64=02:00:06:ff:ff:00:00:01" // see testdata/lwip-node.c
	for _, v := range []struct {
		name, radio string
		zep, other  []string
	}{
		// It has set the context, which nodes that others reach by themselves cannot do alone.
		{"hub", "zep://10.0.6.1:17754?pan=0xabcd&" + eui, []string{"zep=10.0.6.1", "pan=abcd"}, []string{"iid=l2", "lla=8", "context="}},
		// It listens to solicited-node groups, and reports that by MLD. The PAN is 0, as
		// long as the application sets none.
		{"broadcast", "zep://10.0.6.255:17754?mode=broadcast&pan=0&" + eui, nil, []string{"iid=raw", "mld=1"}},
	} {
		t.Run(v.name, func(t *testing.T) { testLwIP(t, bin, node, v.radio, v.zep, v.other) })
	}
}

func testLwIP(t *testing.T, bin, node, radio string, zep, other []string) {
	home, lan := netnstest.New(t), netnstest.New(t)
	home.LinkTo(lan, "eth0", "eth0")
	home.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::1/64"))
	lan.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::2/64"))
	lan.AddRoute(netip.MustParsePrefix("::/0"), netip.MustParseAddr("2001:db8:1::1"), "eth0")
	home.Sysctl("net.ipv6.conf.all.forwarding", "1")
	// Every node is on a cable of its own, all on one switch.
	home.MustExec("ip", "link", "add", "br0", "type", "bridge")
	for _, tap := range []string{"tap2", "tap3"} {
		if out, err := home.Exec("ip", "tuntap", "add", tap, "mode", "tap"); err != nil {
			t.Skipf("no tap interface can be made: %v %s", err, out)
		}
		home.MustExec("ip", "link", "set", tap, "master", "br0", "up")
	}
	home.MustExec("ip", "link", "set", "br0", "up")
	home.AddAddress("br0", netip.MustParsePrefix("10.0.6.1/24"))

	dir := t.TempDir()
	b := &bench{t: t, bin: bin, ns: home, socket: filepath.Join(dir, "sock")}
	var s status
	startRouter := func() *process {
		t.Helper()
		p := start(t, home, bin, "run", "--radio", radio, "--state-dir", dir, "--socket", b.socket, "--log-level", "debug")
		eventually(t, "router up", 5*time.Second, func() error {
			select {
			case <-p.done:
				t.Fatalf("the router ended:\n%s", p.output())
			default:
			}
			return b.json(&s, "status")
		})
		return p
	}
	rt := startRouter()
	prefix := s.Prefixes[0].Prefix
	air := start(t, home, "dumpcap", "-q", "-i", "br0", "-f", "udp port 17754", "-w", filepath.Join(dir, "zep.pcapng"))
	eventually(t, "dumpcap up", 10*time.Second, func() error {
		if !strings.Contains(air.output(), "File:") {
			return fmt.Errorf("says %q", air.output())
		}
		return nil
	})
	captured := filepath.Join(dir, "router.pcapng")
	tap := b.capture(captured)

	watch := startWatch()
	args := func(i int, more ...string) []string {
		a := []string{fmt.Sprintf("tap=tap%d", i), fmt.Sprintf("ip=10.0.6.%d", i), fmt.Sprintf("mac=02:00:06:00:00:%02d", i)}
		for _, x := range more {
			if x == "context=" {
				x += prefix.Addr().String()
			}
			a = append(a, x)
		}
		return append(a, zep...)
	}
	nodes := []*lwipNode{
		startLwIP(t, home, node, args(2)...),
		startLwIP(t, home, node, args(3, other...)...),
	}
	var addrs []netip.Addr
	for _, n := range nodes {
		addrs = append(addrs, n.address(prefix))
	}
	took := watch.took()
	t.Logf("joined in %v: %v", watch.wall().Round(time.Millisecond), addrs)
	if took > 5*time.Second {
		t.Errorf("joining took %v: the first solicitation was not answered well", took)
	}

	host := netip.MustParseAddrPort("[2001:db8:1::2]:7777")
	serveEcho(t, lan, host)
	serveEcho(t, home, netip.MustParseAddrPort("[::]:7778"))
	// lwIP neither acknowledges frames nor sends any again: what is lost for want of the
	// processor is lost.
	try := func(f func() error) {
		t.Helper()
		eventually(t, "an exchange", 20*time.Second, f)
	}
	talk := func() {
		t.Helper()
		for i, n := range nodes {
			for _, size := range []int{8, 80, 200, 1000, 1232} {
				try(func() error { return pingFrom(home, addrs[i], size) })
				try(func() error { return echoUDP(home, netip.AddrPortFrom(addrs[i], 7), size) })
				try(func() error { return echoUDP(lan, netip.AddrPortFrom(addrs[i], 7), size) })
				try(func() error { return n.udp(host, size) })
				try(func() error { return n.udp(netip.AddrPortFrom(addrs[1-i], 7), size) })
			}
		}
	}
	talk()
	b.checkCounters()
	var list []neighbor
	if err := b.json(&list, "neighbors"); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		found := false
		for _, x := range list {
			found = found || x.Addr == a && !x.Registered
		}
		if !found {
			t.Errorf("%s is not among the neighbors: %+v", a, list)
		}
	}

	tap.end(2 * time.Second)
	rt.signal(syscall.SIGKILL)
	<-rt.done
	rt = startRouter()
	for i, n := range nodes {
		eventually(t, fmt.Sprintf("%s after the restart", addrs[i]), 10*time.Second, func() error { return pingFrom(home, addrs[i], 8) })
		try(func() error { return pingFrom(home, addrs[i], 1000) })
		try(func() error { return n.udp(host, 1000) })
	}
	b.checkCounters()
	for _, n := range nodes {
		select {
		case <-n.done:
			t.Errorf("%s ended: %v", n.name, n.cmd.ProcessState)
		default:
		}
	}
	rt.end(time.Second)
	air.stop(syscall.SIGINT)

	// The source of duplicate address detection, "::", is what lwIP compresses as if context
	// 0 was all zeros; with the context of this mesh it reads as the prefix, and the checksum
	// as wrong.
	context0 := "6lowpan.context0:" + prefix.String()
	bad := fmt.Sprintf("_ws.malformed or wpan.fcs_ok == 0 or ((udp.checksum.status == 0 or icmpv6.checksum.status == 0) and not ipv6.src == %s)", prefix.Addr())
	for _, file := range []string{captured, filepath.Join(dir, "zep.pcapng")} {
		if file != captured {
			bad = strings.Replace(bad, "udp.checksum.status == 0 or ", "", 1) // that of the outer header is left to the interface
		}
		if lines := tsharkLines(t, file, context0, bad); len(lines) > 0 {
			t.Errorf("%s: tshark objects to %d packets:\n%s", filepath.Base(file), len(lines), strings.Join(lines[:min(len(lines), 20)], "\n"))
		}
		for _, what := range []string{"icmpv6.type == 134", "icmpv6.type == 129", "6lowpan.frag.offset"} {
			if len(tsharkLines(t, file, context0, what)) == 0 {
				t.Errorf("%s: no packet is %q", filepath.Base(file), what)
			}
		}
	}
}
