package hoststack

import (
	"errors"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// asError turns an error of the stack into the one that the net package has for it, so
// that errors.Is works for services as it does on the kernel's sockets.
func asError(e tcpip.Error) error {
	if e == nil {
		return nil
	}
	if err, ok := byText[e.String()]; ok {
		return err
	}
	return errors.New(e.String())
}

var byText = func() map[string]error {
	m := make(map[string]error)
	for e, err := range map[tcpip.Error]error{
		&tcpip.ErrAborted{}:              syscall.ECONNABORTED,
		&tcpip.ErrAlreadyBound{}:         syscall.EINVAL,
		&tcpip.ErrAlreadyConnected{}:     syscall.EISCONN,
		&tcpip.ErrBadLocalAddress{}:      syscall.EADDRNOTAVAIL,
		&tcpip.ErrClosedForReceive{}:     net.ErrClosed,
		&tcpip.ErrClosedForSend{}:        syscall.EPIPE,
		&tcpip.ErrConnectionAborted{}:    syscall.ECONNABORTED,
		&tcpip.ErrConnectionRefused{}:    syscall.ECONNREFUSED,
		&tcpip.ErrConnectionReset{}:      syscall.ECONNRESET,
		&tcpip.ErrDestinationRequired{}:  syscall.EDESTADDRREQ,
		&tcpip.ErrHostUnreachable{}:      syscall.EHOSTUNREACH,
		&tcpip.ErrInvalidEndpointState{}: net.ErrClosed,
		&tcpip.ErrMessageTooLong{}:       syscall.EMSGSIZE,
		&tcpip.ErrNetworkUnreachable{}:   syscall.ENETUNREACH,
		&tcpip.ErrNoBufferSpace{}:        syscall.ENOBUFS,
		&tcpip.ErrNoPortAvailable{}:      syscall.EADDRINUSE,
		&tcpip.ErrNotConnected{}:         syscall.ENOTCONN,
		&tcpip.ErrPortInUse{}:            syscall.EADDRINUSE,
		&tcpip.ErrTimeout{}:              syscall.ETIMEDOUT,
	} {
		m[e.String()] = err
	}
	return m
}()

// translate does the same for the errors of gVisor's TCP connection, which keeps only
// their text.
func translate(err error, closed bool) error {
	var op *net.OpError
	if err == nil || !errors.As(err, &op) {
		return err
	}
	var timeout interface{ Timeout() bool }
	switch known, ok := byText[op.Err.Error()]; {
	case closed:
		op.Err = net.ErrClosed
	case errors.As(op.Err, &timeout) && timeout.Timeout():
		op.Err = os.ErrDeadlineExceeded
	case ok:
		op.Err = known
	}
	return op
}
