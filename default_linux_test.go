package rawshake

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestDifferenceDefaultCheckerLeavesSignalsAlone(t *testing.T) {
	if os.Getenv("RAWSHAKE_CHILD") == "default checker" {
		DefaultChecker()
		os.Stdout.WriteString("running\n")
		time.Sleep(20 * time.Second)
		return
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := child(t, "default checker")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "running"; {
		}
		cmd.Process.Signal(signal)
		exit, ok := cmd.Wait().(*exec.ExitError)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != signal {
			t.Errorf("%v: the program ended with %v, want it killed by the signal", signal, exit)
		}
	}
}
