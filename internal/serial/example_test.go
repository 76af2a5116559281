package serial_test

import (
	"errors"
	"fmt"

	"border-router/internal/serial"
)

func ExampleOpen() {
	_, err := serial.Open(serial.Config{Path: "/dev/null", Baud: 460800, RTSCTS: true})
	fmt.Println(err, errors.Is(err, serial.ErrInUse))
	// Output: open /dev/null: not a serial port false
}
