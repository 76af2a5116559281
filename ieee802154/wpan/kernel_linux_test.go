package wpan_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/wpan"
	"border-router/internal/hoststack"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// TestKernelNode is a router on wpan1 with the kernel's own 6LoWPAN as its node: lowpan0 in
// the network namespace "mesh", which whoever starts the test has made (with mac802154_hwsim,
// say). The node takes its address from our router advertisement; ping goes both ways.
func TestKernelNode(t *testing.T) {
	if _, err := os.Stat("/sys/class/net/wpan1"); err != nil {
		t.Skip("no interface wpan1 here: needs mac802154_hwsim and a kernel node in the namespace mesh")
	}
	mesh := func(args ...string) (string, error) {
		out, err := exec.Command("ip", append([]string{"netns", "exec", "mesh"}, args...)...).CombinedOutput()
		return string(out), err
	}
	cfg, err := wpan.ParseURL("wpan://wpan1?channel=20&pan=0xabcd")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	radio, err := wpan.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer radio.Close()
	info := radio.Info()
	t.Logf("opened in %v: %+v", time.Since(start), info)
	if info.PAN != 0xabcd || info.Channel != 20 || info.EUI64 == 0 {
		t.Errorf("info %+v", info)
	}

	prefix := netip.MustParsePrefix("2001:db8:6::/64")
	ll := ipv6.EUI64(info.EUI64)
	addr := ipv6.WithIID(prefix, ll.IID())
	r := router.New(router.Config{})
	loop := router.NewLoop(r)
	var link *router.Link
	var pump *lowpan.Pump
	iface := lowpan.NewInterface(lowpan.InterfaceConfig{
		Name: "wpan1", EUI64: info.EUI64, Short: info.Short, PAN: info.PAN,
		Deliver:    func(now time.Time, p ipv6.Packet, m ipv6.Meta) { link.Deliver(now, p, m) },
		Wake:       func() { pump.Wake() },
		LinkStatus: func(now time.Time, dst ipv6.LinkAddr, ok bool) { link.LinkStatus(now, dst, ok) },
	})
	iface.SetContext(0, lowpan.Context{Prefix: prefix, Compress: true})
	pump = lowpan.NewPump(iface, radio, loop.Post)
	link = r.AddPort(router.PortConfig{Port: iface, Kind: router.Mesh, LinkLocal: []netip.Addr{ipv6.LinkLocal(ll)},
		Prefixes: []netip.Prefix{prefix}, Machines: []router.Machine{iface}})
	link.SetNeighbors(nd.NewRouter(nd.RouterConfig{LinkAddr: ll, Addrs: []netip.Addr{addr}, Prefix: prefix,
		ABROVersion: 1, ABROAddr: addr, Name: "wpan1",
		Contexts: []nd.ContextOption{{ID: 0, Prefix: prefix, Compress: true, Lifetime: time.Hour}}}, link, link))
	stack, err := hoststack.New(hoststack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	if err := stack.AddAddress(addr); err != nil {
		t.Fatal(err)
	}
	host := r.AddPort(router.PortConfig{Port: stack, Kind: router.Host})
	r.AddAddress(addr)

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { loop.Run(ctx); close(done) }()
	stack.Start(loop.PostUplink, host.Deliver)
	pump.Start()
	defer func() {
		radio.Close()
		pump.Close()
		stop()
		<-done
	}()

	// The node asks for a router when its interface comes up.
	out, err := mesh("sh", "-c", "ip link set lowpan0 down; ip link set lowpan0 up")
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	var node string
	for begin := time.Now(); node == "" && time.Since(begin) < 120*time.Second; time.Sleep(200 * time.Millisecond) {
		out, _ = mesh("ip", "-6", "-o", "addr", "show", "dev", "lowpan0", "scope", "global", "-tentative")
		for f := range strings.FieldsSeq(out) {
			if p, err := netip.ParsePrefix(f); err == nil && prefix.Contains(p.Addr()) {
				node = p.Addr().String()
			}
		}
	}
	if node == "" {
		t.Fatalf("the node took no address from our router advertisement:\n%s", out)
	}
	t.Logf("node has %s after %v", node, time.Since(start))
	for _, size := range []int{8, 1200} {
		for _, dst := range []string{addr.String(), ipv6.LinkLocal(ll).String() + "%lowpan0"} {
			out, err = mesh("ping", "-6", "-c", "5", "-i", "0.3", "-W", "20", "-s", fmt.Sprint(size), dst)
			if err != nil || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("ping of %d bytes to %s: %v\n%s", size, dst, err, out)
			} else {
				_, statistics, _ := strings.Cut(out, "statistics ---\n")
				t.Logf("ping of %d bytes to %s: %s", size, dst, strings.TrimSpace(statistics))
			}
		}
	}
	echo(t, stack, node)
	t.Logf("radio %+v", radio.RadioStats())
	_ = loop.Do(ctx, func(*router.Router) { t.Logf("lowpan %+v", iface.Stats()) })
	// Down and up again behind our back.
	if out, err := exec.Command("ip", "link", "set", "wpan1", "down").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		if _, err = mesh("ping", "-6", "-c", "1", "-W", "1", addr.String()); err == nil {
			t.Logf("reachable %v after the interface was taken down", time.Since(begin))
			break
		}
		if time.Since(begin) > 60*time.Second {
			t.Fatal("not reachable after the interface was taken down")
		}
	}
}

// TestKernelLate starts without the interface, which comes later, goes away, and comes back
// as another device without PAN and channel: it is set up as it was, address included.
func TestKernelLate(t *testing.T) {
	if _, err := os.Stat("/sys/class/net/wpan1"); err != nil {
		t.Skip("no interface wpan1 here: needs mac802154_hwsim")
	}
	iwpan := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("iwpan", args...).CombinedOutput(); err != nil {
			t.Fatalf("iwpan %v: %v\n%s", args, err, out)
		}
	}
	gone := func() { t.Helper(); iwpan("dev", "wpan1", "del") }
	there := func() { t.Helper(); iwpan("phy", "phy1", "interface", "add", "wpan1", "type", "node") }
	gone()
	cfg, err := wpan.ParseURL("wpan://wpan1?channel=21&pan=0xbeef&short=0x0042&lifetime=10s")
	if err != nil {
		t.Fatal(err)
	}
	type state struct {
		up   bool
		err  error
		info wpan.Info
	}
	states := make(chan state, 16)
	cfg.OnState = func(up bool, err error, info wpan.Info) { states <- state{up, err, info} }
	r, err := wpan.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan error)
	go func() {
		_, err := r.Receive(make([]ieee802154.RxFrame, 4))
		received <- err
	}()
	if s := <-states; s.up || !strings.Contains(s.err.Error(), "there is no interface wpan1") {
		t.Errorf("%+v", s)
	}
	there()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, err := r.WaitUp(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s := <-states; !s.up || s.info != first || first.PAN != 0xbeef || first.Short != 0x42 || first.Channel != 21 || first.EUI64 == 0 {
		t.Errorf("%+v %+v", s, first)
	}

	gone()
	if s := <-states; s.up {
		t.Errorf("%+v", s)
	}
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, PANIDCompression: true, DstPAN: 0xbeef, HasDstPAN: true,
		Dst: ieee802154.Short(0x0001), Src: ieee802154.Extended(first.EUI64), Payload: []byte("later")}
	data, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan ieee802154.TxStatus)
	go func() {
		tx := []ieee802154.TxFrame{{Data: data}}
		_ = r.Transmit(tx)
		sent <- tx[0].Status
	}()
	there()
	for {
		s := <-states
		if !s.up {
			continue
		}
		if s.info.EUI64 != first.EUI64 || s.info.PAN != 0xbeef || s.info.Short != 0x42 || s.info.Channel != 21 {
			t.Errorf("%+v, was %+v", s.info, first)
		}
		break
	}
	hardware, err := net.InterfaceByName("wpan1")
	if err != nil || binary.BigEndian.Uint64(hardware.HardwareAddr) != first.EUI64 {
		t.Errorf("%v %v, want %016x", hardware, err, first.EUI64)
	}
	if st := <-sent; st != ieee802154.TxSent {
		t.Errorf("what waited ended as %v", st)
	}
	r.Close()
	if err := <-received; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
}

// echo sends 8 KiB over TCP to the node, which returns them.
func echo(t *testing.T, stack *hoststack.Stack, node string) {
	t.Helper()
	server := exec.Command("ip", "netns", "exec", "mesh", "busybox", "nc", "-l", "-p", "7000", "-e", "cat")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var conn net.Conn
	begin := time.Now()
	for conn == nil {
		var err error
		if conn, err = stack.DialTCP(ctx, netip.MustParseAddrPort("["+node+"]:7000")); err != nil {
			if ctx.Err() != nil {
				t.Errorf("TCP to the node: %v", err)
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	want := make([]byte, 8<<10)
	for i := range want {
		want[i] = byte(i * 7)
	}
	if _, err := conn.Write(want); err != nil {
		t.Error(err)
		return
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("TCP echo: %v", err)
		return
	}
	t.Logf("8 KiB to the node and back over TCP in %v", time.Since(begin))
}
