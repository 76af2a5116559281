// Package netnstest gives tests network namespaces of their own: New makes one, LinkTo
// joins two by a pair of Ethernet interfaces, Do runs code inside, Exec and Start run
// programs inside. Everything disappears at the end of the test. Where the process may not
// make a namespace, New skips the test and says why.
//
// A namespace has loopback up, and no duplicate address detection, so that its addresses
// can be used at once. It has no name and no file: "ip netns" does not list it, and a
// killed test leaves nothing behind.
//
// The kernel shares its table of neighbors between all namespaces. A test that fills it calls
// Alone, so that tests of other packages do not run out of it.
//
// It leaves out mount, process and user namespaces. Other systems than Linux skip.
package netnstest
