// Package state keeps what must outlive a power cut: addresses and prefixes that were
// generated once, version numbers that only go up, and the registrations of the nodes, so
// that they are reachable at once after a restart.
//
// A [Store] is one file, state.db, in the directory given with --state-dir, written with
// bbolt: each flush is a transaction that is there as a whole or not at all after a kill.
// Everything is also in memory, where it is read from; a write changes memory and returns,
// and a goroutine of the store commits what has changed, the latest value of each key: at
// once after a quiet time, and all that came within 50 ms together where there is more. So
// the loop of the router never waits for a disk, and what waits to be written is bounded by
// the number of distinct keys. Who must not promise anything before it is on the disk is told
// when it is ([Store.Written]). Values that must never be handed out twice (a generated
// address, the next version) are committed before they are returned.
//
// A file that cannot be read is moved aside with a warning and a new one begun: the
// network has to come up. A directory that cannot be written, or that another router
// uses, is an error that says what to do.
//
// It leaves out history, migration between machines and anything secret.
//
// RFC 4193 section 3.2 (the generated prefix), RFC 4291 section 2.5.1 (the generated
// EUI-64), RFC 6775 section 4.3 (the ABRO version).
package state
