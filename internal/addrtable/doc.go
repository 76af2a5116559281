// Package addrtable is the hash table of the packet path: from 128-bit keys, which are IPv6
// addresses, masked prefixes or link-layer addresses, to small values.
//
// Entries lie in one array in no order, and beside it an index of 4 bytes a slot, with the
// place of the entry and bits of the key's hash. That a key is absent is told from one cache
// line of the index; one that is there costs a second line, that of its entry. The index is
// open addressed with linear probing. Removing moves back what was pushed on, so that nothing
// is left behind, and the last entry takes the place in the array. Both parts double when they
// are full and shrink when they are mostly empty. A few entries have no index and are compared
// one by one.
//
// The hash is keyed with random numbers, since whoever sends a packet or registers chooses
// addresses.
//
// A [Table] is for one goroutine at a time. It leaves out a bound on the number of entries,
// which the owner sets, and growing in steps: an entry more than there is room for costs as
// much as all entries do.
package addrtable
