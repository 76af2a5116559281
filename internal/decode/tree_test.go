package decode

import (
	"os"
	"strings"
	"testing"
)

// TestTree compares the text for a frame of each kind with testdata/tree.txt.
func TestTree(t *testing.T) {
	in := strings.Join([]string{
		rsFrame,
		`{"id":"mesh, broadcast","l2_src":"0001","l2_dst":"0002","payload_hex":"b10100ffff50077b3b3a028500000000000000"}`,
		`{"id":"udp","l2_src":"0001","l2_dst":"0002","contexts":[{"cid":1,"prefix":"fd00::","len":64}],"payload_hex":"7ef7` + "11" + `f3b1abcd6869"}`,
		`{"id":"hop-by-hop","l2_src":"0001","l2_dst":"0002","payload_hex":"7e33e03a0663040023010080000000000000"}`,
		`{"id":"routed","l2_src":"0001","l2_dst":"0002","root":"fd00::1","payload_hex":"f1820103020403050491051e01a10640a27701027a333a80000000"}`,
		`{"id":"routed, page 0","l2_src":"0001","l2_dst":"0002","root":"fd00::1","payload_hex":"f0f1800420010db8000000000000000000000005a3063f0aaaf07a333a80000000"}`,
		`{"id":"page 2","l2_src":"0001","l2_dst":"0002","payload_hex":"f28001"}`,
		`{"id":"fragment","l2_src":"0001","l2_dst":"0002","payload_hex":"e15c00090a0102030405060708"}`,
		`{"id":"recoverable","l2_src":"0001","l2_dst":"0002","payload_hex":"e8ad000604d17e333a800000"}`,
		`{"id":"secured","key":"c0c1c2c3c4c5c6c7c8c9cacbcccdcecf","frame_hex":"69dc842143020000000048deac010000000048deac0405000000d43e022b"}`,
		`{"id":"enciphered","frame_hex":"69dc842143020000000048deac010000000048deac0405000000d43e022b"}`,
		`{"id":"ack","frame_hex":"02105ed29b","has_fcs":true}`,
		`{"id":"elements","frame_hex":"6baa8dcefa006801680d0800000001040ded0b350c803f044b8889d659e1","has_fcs":true}`,
		`{"id":"zep","udp_payload_hex":"455802020000004d"}`,
		`{"id":"header","header_hex":"bf2001000200"}`,
		`{`,
	}, "\n")
	got, _ := decodeBytes(t, Options{Format: FormatTree}, []byte(in))
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("testdata/tree.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/tree.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from testdata/tree.txt (UPDATE=1 writes it):\n%s", got)
	}
}
