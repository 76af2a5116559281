package discover

import (
	"fmt"
	"strings"
)

// A Holder is a process that has a port open.
type Holder struct {
	PID  int    `json:"pid"`            // 0: not known
	Name string `json:"name,omitempty"` // of the program
}

// String returns "name (pid 42)".
func (h Holder) String() string {
	switch {
	case h.PID == 0:
		return "a program of another user"
	case h.Name == "":
		return fmt.Sprintf("pid %d", h.PID)
	}
	return fmt.Sprintf("%s (pid %d)", h.Name, h.PID)
}

func holdersText(hs []Holder) string {
	var l []string
	for i, h := range hs {
		if i == 4 {
			l = append(l, fmt.Sprintf("and %d more", len(hs)-i))
			break
		}
		l = append(l, h.String())
	}
	return strings.Join(l, ", ")
}
