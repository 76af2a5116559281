package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

// malformed is what tshark takes for malformed, but for this: libcoap numbers its uploads
// with Request-Tag (option 292, RFC 9175), which this tshark does not know.
const malformed = "(_ws.malformed and not coap.opt.name contains \"Unknown Option (292)\")"

// ping sends count pings of size bytes, one after the other, of which none may be lost.
func ping(from *netnstest.NS, to netip.Addr, size, count int) error {
	out, err := from.Exec("ping", "-6", "-c", fmt.Sprint(count), "-A", "-W", "10", "-s", fmt.Sprint(size), to.String())
	if err != nil || !strings.Contains(out, " 0% packet loss") {
		return fmt.Errorf("ping -s %d %s: %v\n%s", size, to, err, out)
	}
	return nil
}

// pings is ping, where a datagram may be lost as long as a process is kept from the processor
// for longer than all attempts to send a frame take.
func pings(t *testing.T, from *netnstest.NS, to netip.Addr, size, count int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d pings with %d bytes, none of them lost", count, size), 30*time.Second, func() error { return ping(from, to, size, count) })
}

// exchange does with libcoap what a user does with a device: discovers it, puts 8 KiB
// block by block and gets them back, and observes.
func exchange(t *testing.T, from *netnstest.NS, to netip.Addr) {
	t.Helper()
	coap := func(args ...string) string {
		t.Helper()
		args = append([]string{"-B", "90", "-v", "4"}, args...)
		out, err := from.Exec("coap-client-notls", args...)
		if err != nil {
			t.Errorf("coap-client-notls %v: %v\n%s", args, err, out)
		}
		return out
	}
	url := fmt.Sprintf("coap://[%s]", to)
	if core := coap("-m", "get", url+"/.well-known/core"); !strings.Contains(core, "</large>") || !strings.Contains(core, "</counter>") {
		t.Errorf("%s/.well-known/core: %q", url, core)
	}
	content := make([]byte, 8192)
	h := sha256.Sum256([]byte(to.String()))
	for i := range content {
		content[i] = h[i%32] ^ byte(i>>5)
	}
	files := t.TempDir()
	in, out := filepath.Join(files, "put"), filepath.Join(files, "got")
	os.WriteFile(in, content, 0o600)
	coap("-m", "put", "-b", "512", "-f", in, url+"/large")
	coap("-m", "get", "-b", "512", "-o", out, url+"/large")
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%s/large: %d bytes came back, want the %d that were put: %v", url, len(got), len(content), err)
	}
	// One value at first, then one a second; the client prints them side by side. On a busy
	// machine some come late, or not at all.
	for _, d := range []string{"3", "6", "12"} {
		ticks := strings.TrimSpace(coap("-m", "get", "-s", d, url+"/counter"))
		if len(ticks) >= 3 {
			break
		}
		if d == "12" {
			t.Errorf("observing %s/counter for %s s gave %q", url, d, ticks)
		}
	}
}
