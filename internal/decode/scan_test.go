package decode

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestScan has lines in the usual form and in others: what the scanner takes is what
// encoding/json reads, and what it leaves to it is read in the end.
func TestScan(t *testing.T) {
	for _, r := range []struct {
		in    string
		taken bool
	}{
		{`{}`, true},
		{` { } `, true},
		{`{"id":1}`, true},
		{`{"id" : "a b" , "l2_src":"0001","l2_dst":null}`, true},
		{`{"id":{"a":[1,2,{"b":"\u00e9\"é"}],"c":null} ,"x":-0,"y":[],"z":{}}`, true},
		{`{"pan":43981,"rssi":-3,"max_payload":81,"dlt":230,"has_fcs":true,"ghc":false,"checksum_elision":null}`, true},
		{`{"pan":"0xabcd","contexts":[],"frames":["00","01"],"payloads":[ ]}`, true},
		{`{"contexts":[{"cid":1,"prefix":"fd00::","len":48,"compress":false},{"prefix":"fd01::/64","cid":2}]}`, true},
		{`{"pan":null,"contexts":null,"frames":null,"key":null,"root":"fd00::1"}`, true},
		{`{"6lorh":true,"rpl_option":"63"}`, true},
		{`{"6LoRH":true,"rpl_option":99}`, false},
		{`{"frames":["00",null]}`, true},
		{`{"note":"tab\t","other":true}`, true},

		{`{"ID":1}`, false},
		{`{"id":1,"id":2}`, false},
		{`{"id":1.5}`, false},
		{`{"frame_hex":"\u0030"}`, false},
		{`{"pan":""}`, true},
		{`{"pan":"wxyz"}`, false},
		{`{"pan":65536}`, false},
		{`{"l2_src":1}`, false},
		{`{"contexts":{"0":"fd00::/64"}}`, false},
		{`{"contexts":[{"id":0}]}`, false},
		{`{"x":01}`, false},
		{`{"x":tru}`, false},
		{`{"x":"\x"}`, false},
		{`{"x":[1,]}`, false},
		{`{"x":{"a"}}`, false},
		{`{"id":1} x`, false},
		{`{"id":1,}`, false},
		{`{"id"}`, false},
		{`{`, false},
		{``, false},
		{`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, false},
	} {
		if got := checkScan(t, []byte(r.in)); got != r.taken {
			t.Errorf("%s: taken %v", r.in, got)
		}
		for n := range r.in {
			checkScan(t, []byte(r.in[:n]))
		}
	}
	for _, name := range []string{"iphc", "frag", "ghc", "malformed"} {
		taken, n := 0, 0
		text, _ := vectors(t, "../../lowpan/testdata/"+name+".jsonl")
		for _, l := range text {
			if n++; checkScan(t, []byte(l)) {
				taken++
			}
		}
		if taken < n*9/10 {
			t.Errorf("%s: %d of %d lines are scanned", name, taken, n)
		}
	}
}

// TestLooseInput: people write addresses, keys, contexts and bytes in many ways.
func TestLooseInput(t *testing.T) {
	const (
		linkLocal = "60000000000c1140fe80000000000000000000fffe000001fe80000000000000000000fffe000002f0bff0bf000c59c3bb780e16"
		global    = "60000000000c1140fd00000000000000000000fffe000001fd00000000000000000000fffe000002f0bff0bf000c5cc3bb780e16"
	)
	for _, r := range []struct{ in, want string }{
		{`"l2_src":"0x0001","l2_dst":"0X0002","pan":"0xabcd","payload_hex":"7e33f7ffbb780e16"`, linkLocal},
		{`"l2_src":"00:01","l2_dst":"00-02","payload_hex":"0x7E33F7FFBB780E16"`, linkLocal},
		{`"l2_src":1,"l2_dst":2,"payload_hex":"7e 33 f7 ff\n bb:78:0e:16\r\n"`, linkLocal},
		{`"l2_src":" 0001 ","l2_dst":"0002","pan":"","compressed_hex":null,"payload_hex":"0x7e, 0x33, 0xf7, 0xff, 0xbb, 0x78, 0x0e, 0x16"`, linkLocal},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":{"0":"fd00::/64"}`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":{"0":{"prefix":"fd00::","len":64}}`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":["0=fd00::/64"]`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":[[0,"fd00::",64]]`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":[{"cid":0,"prefix":"fd00::"}]`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":[{"id":0,"prefix":"fd00::","prefix_len":64}]`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":[{"cid":"0","prefix_hex":"fd00000000000000","len":"64"}]`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e77f7ffbb780e16","contexts":[{"cid":0,"prefix":"fd000000000000000000000000000000/64"}]`, global},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e33f7ffbb780e16","rssi":-70.5,"src":1,"dst":{"short":2}`, linkLocal},
		{`"l2_src":"0001","l2_dst":"0002","payload_hex":"7e33f7ffbb780e16","rssi":"-70","src":["0001"],"dst":false`, linkLocal},
		{`"l2_src":65537,"l2_dst":2,"payload_hex":"7e33f7ffbb780e16"`, strings.Replace(strings.Replace(linkLocal, "000000fffe000001fe", "0200000000010001fe", 1), "59c3", "56c2", 1)},
	} {
		got := decodeLines(t, Options{}, []string{"{" + r.in + "}"})[0]
		if got["ipv6_hex"] != r.want {
			t.Errorf("%s: %v\nwant %s", r.in, got, r.want)
		}
	}
	for _, in := range []string{
		`"l2_src":"001","payload_hex":"7e33"`, `"payload_hex":"7e3"`, `"frame_hex":"0x"`, `"key":"0xc0","payload_hex":"7e33"`, `"frames":[null]`,
		`"contexts":[{"prefix":"fd00::"}],"payload_hex":"7e33"`, `"contexts":[{"cid":16,"prefix":"fd00::"}],"payload_hex":"7e33"`,
		`"contexts":{"a":"fd00::"},"payload_hex":"7e33"`, `"contexts":[{"cid":0,"prefix":"fd00::/129"}],"payload_hex":"7e33"`,
		`"contexts":[[0,"fd00::"]],"payload_hex":"7e33"`, `"contexts":[[0,64,"fd00::"]],"payload_hex":"7e33"`,
		`"contexts":["fd00::/64"],"payload_hex":"7e33"`, `"pan":70000,"payload_hex":"7e33"`, `"has_fcs":1,"frame_hex":"00"`,
	} {
		got := decodeLines(t, Options{}, []string{"{" + in + "}"})[0]
		if in != `"frame_hex":"0x"` && (got["error"] == nil || got["drop"] != dropInput || got["ipv6_hex"] != nil) {
			t.Errorf("%s: %v", in, got)
		}
	}
}

// TestLineID: an id comes back as it is, and the line is text for all that.
func TestLineID(t *testing.T) {
	for _, r := range []struct{ id, want string }{
		{`"a\u00e9é"`, `"a\u00e9é"`},
		{`{"a":[1.50,null]}`, `{"a":[1.50,null]}`},
		{`12345678901234567890123`, `12345678901234567890123`},
		{"\"a\xff\xfeb\"", "\"a\ufffdb\""},
		{"[\"\xc3\",1.5]", "[\"\ufffd\",1.5]"},
		{"[1,\r2]", "1"},
		{"[1,2] \r", "[1,2]"},
		{"{\"a\":[1] }\r", `{"a":[1] }`},
	} {
		var out bytes.Buffer
		d := NewDecoder(&out, Options{})
		in := []byte(`{"id":` + r.id + `,"ipv6_hex":"00"}`)
		if err := d.Read(context.Background(), bytes.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		d.Flush()
		e := NewEncoder(&out, Options{})
		if err := e.Read(context.Background(), bytes.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		e.Flush()
		if n := strings.Count(out.String(), `{"id":`+r.want+`,`); n != 2 {
			t.Errorf("%q: %d of 2 lines have %q: %q", r.id, n, r.want, out.String())
		}
	}
}

// TestLinesApart: nothing of a line shows through in the next, whatever it leaves out.
func TestLinesApart(t *testing.T) {
	lines := []string{
		`{"id":"a","l2_src":"0001","l2_dst":"0002","ghc":true,"contexts":[{"cid":3,"prefix":"fd00:1::","len":48,"compress":false}],"payload_hex":"7e33f7ffbb780e16"}`,
		`{"id":"b","contexts":[{"cid":0,"prefix":"fd00::"}],"payload_hex":"7e77f7ffbb780e16"}`,
		`{"id":"c","contexts":[{"CID":0,"PREFIX":"fd00::"}],"payload_hex":"7e77f7ffbb780e16"}`,
		`{"contexts":[{}],"payload_hex":"7e77f7ffbb780e16"}`,
		`{"id":"e","frames":["00","01"]}`,
		`{"Id":"f","frames":[null,null]}`,
		`{"id":"g"}`,
		`{"id":"h","l2_src":"0001","l2_dst":"0002","payloads":["c030000141600000000008ff40fe80000000000000000000fffe000001fe80000000000000000000fffe000002","zz"]}`,
		`{"id":"i","l2_src":"0001","l2_dst":"0002","payloads":["e0300001050102030405060708"]}`,
	}
	together := decodeLines(t, Options{}, lines)
	for i, l := range lines {
		alone := decodeLines(t, Options{}, []string{l})[0]
		if i == 3 {
			alone["id"] = together[i]["id"] // its number
		}
		if a, b := fmt.Sprint(alone), fmt.Sprint(together[i]); a != b {
			t.Errorf("alone %s\nafter others %s", a, b)
		}
	}
}
