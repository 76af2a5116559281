// Package driver is what drivers of 802.15.4 radios have in common: the [Queue] between the
// reader of a line and Receive, counters ([Count], [Drops]), the keys of radio URLs
// ([Query]), opening a line again and again ([Supervise]) and what its rate is ([Rates],
// [Heard]).
//
// It knows no line, no dialect and no frame; what a driver keeps of a radio that is there
// stays in the driver, since that is guarded together with what is under way.
package driver
