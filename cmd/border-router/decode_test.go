package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A router solicitation in a broadcast frame.
const rsFrame = "41d809cdabffff04030201007412027b3b3a028500000000000000"

// filter runs a command line with an input.
func filter(in string, args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &o, err: &e}
	status = a.run(context.Background(), args)
	return status, o.String(), e.String()
}

func TestDecode(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lines")
	if err := os.WriteFile(file, []byte(rsFrame+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	capture := filepath.Join(dir, "ipv6.pcapng")
	key := "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
	secured := "69dc842143020000000048deac010000000048deac0405000000d43e022b"
	context7 := `{"l2_src":"0001","l2_dst":"0002","payload_hex":"7ef711f3b1abcd6869"}`
	for _, c := range []struct {
		args, in string
		status   int
		out      string // begins so
		errs     string
	}{
		{"decode " + file, "", 0, `{"id":1,"ipv6_hex":"60000000`, ""},
		{"decode", rsFrame, 0, `{"id":1,"ipv6_hex":"60000000`, ""},
		{"decode " + file + " - " + file, "{", 1, `{"id":1,"ipv6_hex":"60000000`, "border-router: 1 of 3 lines cannot be read: see \"error\" there\n"},
		{"decode --tree", rsFrame, 0, "1  IPv6, 48 bytes\n", ""},
		{"decode -w " + capture, rsFrame, 0, "", "border-router: 1 IPv6 packets of 1 inputs written\n"},
		{"decode -w -", rsFrame, 0, "\n\r\r\n", "border-router: 1 IPv6 packets of 1 inputs written\n"},
		{"decode", secured, 0, `{"id":1,"ipv6_hex":null,"drop":"mac_security"`, ""},
		{"decode --key " + key, secured, 0, `{"id":1,"ipv6_hex":null,"drop":"truncated"`, ""},
		{"decode --pan 1234", rsFrame, 0, `{"id":1,"ipv6_hex":null,"drop":"mac_pan"`, ""},
		{"decode", context7, 0, `{"id":1,"ipv6_hex":null,"drop":"iphc_context"`, ""},
		{"decode --context 1=fd00::/64", context7, 0, `{"id":1,"ipv6_hex":"60`, ""},
		{"decode", `{"payloads":["c15c00054160"]}`, 0, `{"id":1,"ipv6_hex":null,"drop":"truncated"`, ""},
		{"decode", `{"l2_src":"0001","l2_dst":"0002","payloads":["e15c00090a0102030405060708"]}`, 0, `{"id":1,"ipv6_hex":null,"drop":"incomplete"`, "border-router: 1 datagrams lack fragments\n"},
		{"decode --key 12", "", 2, "", "border-router: --key: want 16 bytes in hexadecimal (see `border-router decode --help`)\n"},
		{"decode --pan xyz", "", 2, "", "border-router: --pan: PAN \"xyz\": want up to four hexadecimal digits (see `border-router decode --help`)\n"},
		{"decode --root x", "", 2, "", "border-router: --root \"x\": want an IPv6 address (see `border-router decode --help`)\n"},
		{"decode --context 16=fd00::/64", "", 2, "", "border-router: --context: context \"16=fd00::/64\": want ID=PREFIX/LEN with an ID from 0 to 15, such as 0=fd00::/64 (see `border-router decode --help`)\n"},
		{"decode --tree -w x", "", 2, "", "border-router: --tree and --write do not go together (see `border-router decode --help`)\n"},
		{"decode " + dir + "/none " + file, "", 1, `{"id":1,"ipv6_hex":"60000000`, "border-router: open " + dir + "/none: no such file or directory\n"},
		{"encode", `{"id":"a","l2_src":"0001","ipv6_hex":"6000000000003b40fe80000000000000000000fffe000001ff020000000000000000000000000001"}`, 0,
			`{"id":"a","frames":["4198000000ffff01007a3b3b01"],"compressed_hex":"7a3b3b01"}`, ""},
		{"encode", `{"ipv6_hex":"60"}`, 1, `{"id":1,"frames":null,"compressed_hex":null,"error":"ipv6_hex: truncated"}`, "border-router: 1 of 1 lines cannot be read: see \"error\" there\n"},
	} {
		status, out, errs := filter(c.in, strings.Fields(c.args)...)
		if status != c.status || !strings.HasPrefix(out, c.out) || errs != c.errs {
			t.Errorf("%s: %d\n%s\n%s\nwant %d\n%s\n%s", c.args, status, out, errs, c.status, c.out, c.errs)
		}
	}
	if b, err := os.ReadFile(capture); err != nil || len(b) < 48 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
