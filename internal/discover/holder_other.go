//go:build !linux

package discover

// Holders returns nil: who has a port open is known on Linux only.
func (s System) Holders(string) []Holder { return nil }

// Lockers returns nil.
func (s System) Lockers(string) []Holder { return nil }

// Processes returns nil.
func (s System) Processes() []int { return nil }

// ProcessName returns "".
func (s System) ProcessName(int) string { return "" }
