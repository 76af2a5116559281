package radios

import (
	"fmt"
	"strings"
)

// Auto stands for "the radio that is there" in place of a URL. The settings of a URL may
// follow behind a question mark: auto?channel=15&pan=0xabcd. It is not a URL that [Parse]
// takes: whoever starts a radio finds it first (package discover).
const Auto = "auto"

// IsAuto reports whether text is [Auto], with settings or without.
func IsAuto(text string) bool { return text == Auto || strings.HasPrefix(text, Auto+"?") }

// AutoQuery returns the settings behind [Auto], which each kind of dongle must take since it
// is not known yet which it will be. The error says what is wrong.
func AutoQuery(text string) (string, error) {
	_, query, _ := strings.Cut(text, "?")
	if query == "" {
		return "", nil
	}
	for _, of := range []string{"spinel:///dev/" + Auto, "slip:///dev/" + Auto} {
		if _, err := Parse(of + "?" + query); err != nil {
			return "", fmt.Errorf("radio %q: %w", text, err)
		}
	}
	return query, nil
}
