package config

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed border-router.toml
var reference string

// Reference returns the reference file: every key with its meaning and its default, the
// defaults commented out. A line that starts with "#" and a letter or a bracket is a
// setting; with "# " it is explanation.
func Reference() string { return reference }

// referenceDocs returns the explanation of each key: the comment lines right above it.
var referenceDocs = sync.OnceValue(func() map[string]string {
	docs := make(map[string]string)
	section := ""
	var doc []string
	for line := range strings.SplitSeq(reference, "\n") {
		switch text, isDoc := strings.CutPrefix(line, "# "); {
		case isDoc:
			doc = append(doc, text)
			continue
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]") + "."
		case strings.HasPrefix(line, "#") && strings.Contains(line, " = "):
			key, _, _ := strings.Cut(line[1:], " = ")
			docs[section+key] = strings.Join(doc, " ")
		}
		doc = nil
	}
	return docs
})
