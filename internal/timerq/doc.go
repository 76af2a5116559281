// Package timerq is the timer queue of the protocol machines: a set of keys, each with
// the one time at which something is due for it.
//
// A machine keeps a [Queue] of its table keys, answers Deadline with [Queue.Next] and
// runs Advance as a loop around [Queue.Pop]. Nothing here reads a clock, starts a
// goroutine or takes a lock. Keys that are due at the same instant come out in the order
// in which they were set, so that a simulation gives the same run every time.
//
// The queue is a binary heap with an index: setting, moving and removing a key take
// O(log n), looking at the earliest O(1). Once it has grown to its working size it
// allocates nothing.
//
// It leaves out periodic timers and callbacks: the machine that pops a key knows what it
// stands for and sets it again.
package timerq
