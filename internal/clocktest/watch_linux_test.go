package clocktest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A process that is stopped for a while does not count that.
func TestStopped(t *testing.T) {
	const env = "CLOCKTEST_STOPPED"
	if os.Getenv(env) != "" {
		begin, w := time.Now(), Start(t)
		fmt.Println("begun")
		_, _ = io.Copy(io.Discard, os.Stdin)
		if took := time.Since(begin); w.Lost() > time.Second/2 && w.Elapsed() < took-time.Second/2+tick {
			fmt.Println("noticed")
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStopped$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for said.Scan() && said.Text() != "begun" {
	}
	for _, s := range []os.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Error(err)
		}
		time.Sleep(800 * time.Millisecond)
	}
	in.Close()
	noticed := false
	for said.Scan() {
		noticed = noticed || said.Text() == "noticed"
	}
	if err := cmd.Wait(); err != nil || !noticed {
		t.Errorf("not noticed: %v", err)
	}
}
