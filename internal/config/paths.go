package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// SystemSocket is where the router of root answers.
const SystemSocket = "/run/border-router/control.sock"

// systemState is where the router of root keeps its state.
const systemState = "/var/lib/border-router"

// DefaultSocket returns the path of the management socket of a router that the current
// user starts.
func DefaultSocket() string {
	uid := os.Geteuid()
	if uid == 0 {
		return SystemSocket
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "border-router.sock")
	}
	return filepath.Join(os.TempDir(), "border-router-"+strconv.Itoa(uid), "control.sock")
}

// FindSocket returns the path of the socket that a client of the current user means: the
// default one, or that of root's router where only this exists.
func FindSocket() string {
	own := DefaultSocket()
	if _, err := os.Lstat(own); err != nil {
		if _, err := os.Lstat(SystemSocket); err == nil {
			return SystemSocket
		}
	}
	return own
}

// DefaultStateDir returns the directory for the state of a router that the current user
// starts.
func DefaultStateDir() (string, error) {
	if os.Geteuid() == 0 {
		return systemState, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "border-router"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the state: %w; say --state-dir DIR", err)
	}
	return filepath.Join(home, ".local", "state", "border-router"), nil
}

// NoState is the StateDir of a router that keeps nothing over a restart.
const NoState = "none"

// Resolve fills in what depends on who runs the router: an empty Socket and an empty
// StateDir. [NoState] stays.
func (c *Config) Resolve() error {
	if c.Socket == "" {
		c.Socket = DefaultSocket()
	}
	if c.StateDir == "" {
		dir, err := DefaultStateDir()
		if err != nil {
			return err
		}
		c.StateDir = dir
	}
	return nil
}
