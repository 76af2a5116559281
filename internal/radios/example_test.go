package radios_test

import (
	"fmt"

	"border-router/internal/radios"
)

func Example() {
	u, err := radios.Parse("zep://[::1]:17754?mode=hub&channel=15&pan=0xabcd")
	fmt.Printf("%04x %v\n", u.Settings().PAN, err)
	_, err = radios.Parse("zep://?channel=27")
	fmt.Println(err != nil)
	// Output:
	// abcd <nil>
	// true
}
