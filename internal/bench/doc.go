// Package bench holds the benchmarks that are measured against an aim: the stages of a
// packet's way through the router side by side, and the whole process beside a bare loop
// that makes the same system calls. It has no code of its own to import.
//
//	go test -bench . ./internal/bench
//
// The stages use real parts only ([lowpan.Interface], [router.Router], [nd.Router] with a
// thousand registrations) and frames captured from a mesh. Of the whole process one is
// interested in the ratio: how many of the frames that a second of CPU could carry by system
// calls alone are left when the router does its work in between.
//
// baseline.txt keeps figures with the machine and the version of Go; compare with benchstat
// over ten runs. ethernet.txt has those of the Ethernet uplink, with what attacks on it cost;
// radios.txt those of the drivers, whose benchmarks stand beside them.
//
// Left out: what one package alone can measure stays there (codecs, MAC, FIB, hub); the time
// until an acknowledgment is BenchmarkAckLatency of package zep.
//
// References: RFC 4944 (fragments), RFC 6282 (IPHC), RFC 6775 (registrations), RFC 8200
// (forwarding), IEEE 802.15.4 (frames and acknowledgments).
//
// [lowpan.Interface]: border-router/lowpan
// [router.Router]: border-router/router
// [nd.Router]: border-router/nd
package bench
