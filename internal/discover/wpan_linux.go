package discover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"border-router/ieee802154/wpan"
)

// describeWPAN reads what the kernel tells of an interface, and changes nothing.
func describeWPAN(target string) (*Radio, error) {
	c, err := wpan.ParseURL(target)
	if err != nil {
		return nil, err
	}
	info, err := wpan.Read(c.Interface)
	if err != nil {
		return nil, err
	}
	return &Radio{URL: target, Protocol: WPAN, EUI64: euiText(info.EUI64), Channel: info.Channel, PAN: panText(info.PAN),
		Version: "Linux kernel"}, nil
}

// A kernelAir is a monitor beside an interface of the kernel that is down.
type kernelAir struct {
	m  *wpan.Monitor
	wg sync.WaitGroup
}

func openKernelAir(target string, hear hearFunc) (air, error) {
	c, err := wpan.ParseURL(target)
	if err != nil {
		return nil, err
	}
	m, err := wpan.OpenMonitor(c.Interface)
	if err != nil {
		return nil, err
	}
	a := &kernelAir{m: m}
	listen(&a.wg, m, hear)
	return a, nil
}

func (a *kernelAir) tune(_ context.Context, channel uint8) error { return a.m.Tune(channel) }
func (a *kernelAir) send(frame []byte) error                     { return sendOn(a.m, frame) }
func (a *kernelAir) close()                                      { a.m.Close(); a.wg.Wait() }

func (a *kernelAir) energy(context.Context, uint8, time.Duration) (int8, error) {
	return 0, fmt.Errorf("%w: the kernel tells no signal strength", errors.ErrUnsupported)
}
