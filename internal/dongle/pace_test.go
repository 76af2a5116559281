package dongle

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestPaced passes bytes both ways, each at the pace of the line.
func TestPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := bytes.Repeat([]byte("0123456789"), 100)
		line := &struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(sent), new(bytes.Buffer)}
		p := Paced(line, 10000) // one byte in a millisecond
		start := time.Now()
		if n, err := p.Write(sent); n != len(sent) || err != nil {
			t.Errorf("%d bytes written, %v", n, err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("1000 bytes took %v to write", took)
		}
		start = time.Now()
		if got, err := io.ReadAll(p); !bytes.Equal(got, sent) || err != nil {
			t.Errorf("%d bytes read, %v", len(got), err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("1000 bytes took %v to read", took)
		}
		if Paced(line, 0) != io.ReadWriter(line) {
			t.Error("a line without rate is paced")
		}
	})
}
