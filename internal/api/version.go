package api

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// release is the version of a build outside of a module cache; the linker may set it:
// -ldflags "-X border-router/internal/api.release=1.2.3".
var release = ""

// BuildVersion says what this program was built from.
func BuildVersion() Version {
	v := Version{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, API: 1}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
		if v.Version == "" && info.Main.Version != "(devel)" {
			v.Version = strings.TrimPrefix(info.Main.Version, "v")
		}
	}
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}
