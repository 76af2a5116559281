package addrtable_test

import (
	"fmt"

	"border-router/internal/addrtable"
)

func Example() {
	var hops addrtable.Table[int]
	k := addrtable.Key{Hi: 0x2001_0db8_0000_0000, Lo: 1}
	hops.Put(k, 3)
	if v := hops.Find(k); v != nil {
		*v++
	}
	fmt.Println(hops.Get(k), hops.Get(addrtable.Key{}), hops.Len())
	fmt.Println(hops.Delete(k), hops.Find(k) == nil)
	// Output:
	// 4 0 1
	// true true
}
