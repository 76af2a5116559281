package discover_test

import (
	"fmt"
	"os"

	"border-router/internal/discover"
)

// A machine without ports.
func ExampleProber_List() {
	root, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	p := discover.Prober{System: discover.System{Root: root}}
	found := p.List()
	fmt.Println(len(found))
	fmt.Println(discover.Missing(found))
	// Output:
	// 0
	// no serial port and no kernel radio is there; plug the dongle in, or give the URL of a radio on the network
}
