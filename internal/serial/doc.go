// Package serial opens the line to a device: a serial port of the system, or a TCP
// connection to a port elsewhere. Both are a [Line].
//
// A port is opened and configured as 8N1 with tarm/serial; what that leaves out is done
// here: RTS/CTS, rates that have no name, DTR, exclusive use. The bytes go through a second
// descriptor in the poller of the runtime, so that Close wakes Read, and so that a port that
// is pulled out is an error, [ErrGone], instead of silence. A pseudo-terminal has no modem
// lines; that is not an error.
//
// It does not know what is spoken on the line, nor look for ports.
package serial
