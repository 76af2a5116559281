package decode

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// BenchmarkDecode reads lines of JSON as the vectors are, with all that they have beside
// the input, and frames of a capture.
func BenchmarkDecode(b *testing.B) {
	text, _ := vectors(b, "../../lowpan/testdata/iphc.jsonl")
	json := []byte(strings.Join(text, "\n"))
	frames, _ := fragments(b, 1280, "0001")
	for _, c := range []struct {
		name string
		in   []byte
		n    int
	}{
		{"json", json, len(text)},
		{"pcapng", ngFile(frames...), len(frames)},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := NewDecoder(io.Discard, Options{})
			b.SetBytes(int64(len(c.in)))
			for b.Loop() {
				if err := d.Read(context.Background(), bytes.NewReader(c.in)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(c.n)/b.Elapsed().Seconds(), "inputs/s")
		})
	}
}
