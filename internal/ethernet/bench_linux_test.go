package ethernet

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"border-router/internal/netnstest"
	"border-router/ipv6"
)

// BenchmarkPort sends frames from one port to another over a pair of interfaces of the kernel:
// what a frame costs out and in again, in time and in CPU time of the whole process, system
// calls included.
func BenchmarkPort(b *testing.B) {
	a, z := netnstest.New(b), netnstest.New(b)
	a.LinkTo(z, "eth0", "eth0")
	dst := ipv6.EUI48([6]byte{0x02, 0xbb, 0, 0, 0, 2})
	open := func(ns *netnstest.NS, mac ipv6.LinkAddr) (p *Port) {
		ns.Sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
		var err error
		ns.Do(func() { p, err = Open(Config{Name: "eth0", MAC: mac}) })
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		p.Start(func(w interface{ Run(now time.Time) }) bool { w.Run(time.Now()); return true }, func(time.Time, ipv6.Packet, ipv6.Meta) {})
		return p
	}
	from, to := open(a, ipv6.EUI48([6]byte{0x02, 0xbb, 0, 0, 0, 1})), open(z, dst)
	for end := time.Now().Add(time.Minute); !from.State().Up || !to.State().Up; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("the interfaces are not up")
		}
	}
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(ours, 1), netip.AddrPortFrom(kernels, 2), 64, make([]byte, 100)))
	now := time.Now()
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	sent := uint64(0)
	const burst = 64
	base := to.count.inFrames.Load()
	b.SetBytes(burst * int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			if from.Output(now, p, dst) == nil {
				sent++
			}
		}
		for end := time.Now().Add(time.Second); to.count.inFrames.Load()-base < sent && time.Now().Before(end); {
			time.Sleep(5 * time.Microsecond)
		}
	}
	unix.Getrusage(unix.RUSAGE_SELF, &after)
	cpu := func(r *unix.Rusage) float64 { return float64(r.Utime.Nano() + r.Stime.Nano()) }
	got := to.count.inFrames.Load() - base
	b.ReportMetric((cpu(&after)-cpu(&before))/1000/float64(got), "cpu-us/frame")
	b.ReportMetric(float64(got)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(100*(1-float64(got)/float64(sent)), "lost-%")
}
