// Package clocktest measures time in tests that cannot have virtual time, as they wait for
// the kernel or for real processes: a [Watch] leaves out what the machine took away, so that a
// bound on it speaks of the code under test and not of what else the machine does.
//
// It leaves out tests in virtual time, which are for testing/synctest.
package clocktest
