package lowpan

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// TestRecoveryTshark has tshark read a datagram sent by recoverable fragments, with its
// acknowledgments: every field, and the datagram as a whole.
func TestRecoveryTshark(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	cfg := toB
	cfg.OptWindow = 5
	y := newLossy(cfg, Limits{})
	var frames [][]byte
	lost := 0
	y.lose = func(b []byte) bool {
		var f ieee802154.Frame
		if err := f.Parse(b); err != nil {
			t.Fatal(err)
		}
		if h, _, err := ParseRFrag(f.Payload); err == nil && h.Sequence%4 == 2 && lost < 3 {
			lost++
			return true
		}
		frames = append(frames, append([]byte(nil), b...))
		return false
	}
	p := testUDP(linkTo(euiA, ipv6.EUI64(euiB)), 1280)
	y.a.Output(y.now, p, ipv6.EUI64(euiB))
	y.run(t)
	if len(y.b.got) != 1 {
		t.Fatalf("%d datagrams", len(y.b.got))
	}

	le := binary.LittleEndian
	file := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 230, 0, 0, 0}
	for k, f := range frames {
		file = le.AppendUint32(file, uint32(1+k/1000))
		file = le.AppendUint32(file, uint32(k%1000*1000))
		file = le.AppendUint32(file, uint32(len(f)))
		file = append(le.AppendUint32(file, uint32(len(f))), f...)
	}
	name := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "--disable-protocol", "udp", "-r", name, "-T", "fields", "-E", "separator=;"}
	for _, f := range []string{"congestion", "ack_requested", "tag", "sequence", "size", "datagram_size", "offset", "ack_bitmask"} {
		args = append(args, "-e", "6lowpan.rfrag."+f)
	}
	args = append(args, "-e", "ipv6.plen", "-e", "_ws.malformed")
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != len(frames) {
		t.Fatalf("tshark read %d of %d frames", len(lines), len(frames))
	}
	number := func(s string) int {
		if s == "" {
			return -1
		}
		n, err := strconv.ParseUint(s, 0, 32)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return int(n)
	}
	truth := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	whole := 0
	for k, line := range lines {
		var got [9]int
		col := strings.Split(line, ";")
		for c := range got {
			got[c] = number(strings.Split(col[c], ",")[0])
		}
		// Wireshark looks for one more header behind an acknowledgment, which there never is.
		if col[9] != "" && got[7] < 0 {
			t.Errorf("frame %d is malformed", k)
		}
		if got[8] == 1280-40 {
			whole++
		}
		var f ieee802154.Frame
		f.Parse(frames[k])
		var want [8]int
		if a, _, err := ParseRFragAck(f.Payload); err == nil {
			want = [8]int{truth(a.ECN), -1, int(a.Tag), -1, -1, -1, -1, int(a.Bitmap)}
		} else {
			h, _, err := ParseRFrag(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			want = [8]int{truth(h.ECN), truth(h.AckRequest), int(h.Tag), int(h.Sequence), int(h.Size), -1, int(h.Offset), -1}
			if h.Sequence == 0 {
				want[5], want[6] = want[6], -1
			}
		}
		if [8]int(got[:8]) != want {
			t.Errorf("frame %d, %s: tshark %v, we %v", k, hex.EncodeToString(f.Payload[:6]), got, want)
		}
	}
	if whole != 1 || len(frames) < 14 {
		t.Errorf("%d frames, %d datagrams put together", len(frames), whole)
	}
}
