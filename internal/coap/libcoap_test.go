package coap

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// start serves Device on a loopback socket and returns its URI.
func start(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on loopback: %v", err)
	}
	s := New(conn, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, "coap://" + conn.LocalAddr().String()
}

func libcoap(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("coap-client-notls")
	if err != nil {
		t.Skip("coap-client-notls is not installed (Debian package libcoap3-bin)")
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("coap-client-notls %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestLibcoap(t *testing.T) {
	_, uri := start(t, Options{})
	t.Run("discovery", func(t *testing.T) {
		out := libcoap(t, "-m", "get", uri+"/.well-known/core")
		for _, want := range []string{"</counter>", `rt="counter"`, ";obs", "</echo>", "</time>", "</large>", ";sz=8192"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s in %s", want, out)
			}
		}
		if out := libcoap(t, "-m", "get", uri+"/.well-known/core?rt=counter"); strings.Contains(out, "large") || !strings.Contains(out, "counter") {
			t.Errorf("filtered: %s", out)
		}
	})
	t.Run("echo", func(t *testing.T) {
		for _, m := range []string{"post", "put"} {
			if out := libcoap(t, "-m", m, "-e", "hello-"+m, uri+"/echo"); strings.TrimSpace(out) != "hello-"+m {
				t.Errorf("%s: %q", m, out)
			}
		}
	})
	for _, size := range []int{16, 64, 256, 512, 1024} {
		t.Run(fmt.Sprintf("blocks of %d", size), func(t *testing.T) {
			dir := t.TempDir()
			body := make([]byte, 8<<10)
			r := rand.New(rand.NewPCG(uint64(size), 1))
			for i := range body {
				body[i] = byte(r.Uint32())
			}
			in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
			if err := os.WriteFile(in, body, 0o600); err != nil {
				t.Fatal(err)
			}
			b := fmt.Sprint(size)
			if msg := libcoap(t, "-m", "put", "-t", "42", "-b", b, "-f", in, uri+"/large"); strings.TrimSpace(msg) != "" {
				t.Errorf("put: %s", msg)
			}
			libcoap(t, "-m", "get", "-b", b, "-o", out, uri+"/large")
			same(t, out, body)
			// both ways in one exchange
			libcoap(t, "-m", "post", "-b", b, "-f", in, "-o", out+"2", uri+"/echo")
			same(t, out+"2", body)
		})
	}
	t.Run("too large", func(t *testing.T) {
		in := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(in, make([]byte, largeMax+1), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := libcoap(t, "-m", "put", "-b", "1024", "-f", in, uri+"/large"); !strings.Contains(out, "4.13") {
			t.Errorf("got %q, want 4.13", out)
		}
	})
	t.Run("observe", func(t *testing.T) {
		bin, err := exec.LookPath("coap-client-notls")
		if err != nil {
			t.Skip("coap-client-notls is not installed (Debian package libcoap3-bin)")
		}
		cmd := exec.Command(bin, "-m", "get", "-s", "60", "-w", uri+"/counter")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		count, last := 0, -1
		for s := bufio.NewScanner(out); count < 3 && s.Scan(); {
			if s.Text() == "" {
				continue
			}
			n, err := strconv.Atoi(s.Text())
			if err != nil || n <= last {
				t.Fatalf("notification %q after %d", s.Text(), last)
			}
			count, last = count+1, n
		}
		if count < 3 {
			t.Errorf("%d notifications in a minute", count)
		}
	})
}

func same(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back for %d, or others", len(got), len(want))
	}
}
