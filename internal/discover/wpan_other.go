//go:build !linux

package discover

import (
	"errors"
	"fmt"
)

func describeWPAN(target string) (*Radio, error) {
	return nil, fmt.Errorf("%s: %w: radios of the kernel are for Linux", target, errors.ErrUnsupported)
}

func openKernelAir(target string, _ hearFunc) (air, error) {
	_, err := describeWPAN(target)
	return nil, err
}
