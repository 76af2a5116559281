// Package mmsg receives and sends several messages of a socket in one system call, recvmmsg(2)
// and sendmmsg(2), for a [syscall.RawConn] to call: where there is nothing to read or no room,
// the calls do not wait but say so, and Go's poller waits.
//
// It is Linux only. Buffers and addresses are the caller's; nothing is allocated.
package mmsg
