// Package vmtest tests the program against the Linux kernel's own 6LoWPAN, in a virtual
// machine that scripts/vm/run builds and boots: most kernels come without it. Elsewhere its
// test is skipped.
//
// It covers a kernel that is a node of the mesh (RFC 4944, 6282; neighbor discovery after
// RFC 4861), with extended and with short addresses. A kernel as router is left out.
package vmtest
