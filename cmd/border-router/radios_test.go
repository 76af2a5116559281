package main

import (
	"encoding/json"
	"testing"

	"border-router/internal/discover"
	"border-router/internal/doctor"
)

func TestParseChannels(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []uint8
	}{
		{"11", []uint8{11}}, {"26,11", []uint8{11, 26}}, {"15-17, 16", []uint8{15, 16, 17}},
		{"", nil}, {"10", nil}, {"27", nil}, {"20-15", nil}, {"x", nil}, {"11-", nil}, {"-11", nil}, {"11,,12", nil},
	} {
		got, err := parseChannels(tt.in)
		if string(got) != string(tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%q: %v, %v", tt.in, got, err)
		}
	}
}

func TestRanges(t *testing.T) {
	for want, in := range map[string][]uint8{"": nil, "11": {11}, "11-12": {11, 12}, "11-13, 15, 25-26": {11, 12, 13, 15, 25, 26}} {
		if got := ranges(in); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
	}
	if got, want := noiseText([]discover.Energy{{Channel: 11, DBm: -60}, {Channel: 12, DBm: -95}, {Channel: 13, DBm: -95}}), "-95 dBm on 12-13, -60 dBm on 11"; got != want {
		t.Errorf("noise %q", got)
	}
}

func TestChannelLine(t *testing.T) {
	e := func(v int8) *int8 { return &v }
	for want, c := range map[string]discover.ChannelReport{
		"     11  2405   -90 dBm #####": {Channel: 11, MHz: 2405, Energy: e(-90)},
		"     12  2410  -128 dBm":       {Channel: 12, MHz: 2410, Energy: e(-128)},
		"     13  2415    20 dBm ######################################## PAN 0xface, 0xfeed, 3 frames": {Channel: 13, MHz: 2415, Energy: e(20), Frames: 3, PANs: []string{"0xface", "0xfeed"}},
		"     26  2480        -                                           2 frames":                     {Channel: 26, MHz: 2480, Frames: 2},
	} {
		if got := channelLine(&c); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestDoctorCommand(t *testing.T) {
	socket := t.TempDir() + "/s"
	args := []string{"doctor", "--uplink", "user:", "--radio", "zep://127.0.0.1:0", "--socket", socket}
	status, out, errs := command(t.Context(), append(args, "--state-dir", "none", "--json")...)
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitOK || errs != "" || r.Failures != 0 || len(r.Checks) < 6 {
		t.Errorf("status %d, %q, %v\n%s", status, errs, err, out)
	}
	status, out, _ = command(t.Context(), append(args, "--state-dir", "/dev/null")...)
	want(t, out, "FAIL  state directory: /dev/null is not a directory\n      mend: choose another with --state-dir\n", "OK    management socket: no router is running", "1 failure")
	if status != exitFailed {
		t.Errorf("status %d", status)
	}
	status, out, _ = command(t.Context(), "doctor", "--no-probe", "--config", "/nonexistent/x.toml", "--socket", socket)
	want(t, out, "FAIL  configuration: read configuration: open /nonexistent/x.toml")
	if status != exitFailed {
		t.Errorf("status %d", status)
	}
}
