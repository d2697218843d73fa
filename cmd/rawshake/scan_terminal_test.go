//go:build linux && !android

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rawshake/rawshake/internal/lab"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal of 100 columns and returns the program's side; shown ends it and returns what was shown.
func terminal(t *testing.T) (tty *os.File, shown func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	done := make(chan struct{})
	go func() {
		io.Copy(&text, master) // until the other side is closed, which is an error
		close(done)
	}()
	return tty, func() string {
		tty.Close()
		<-done
		return text.String()
	}
}

// onTerminal runs the command with standard error, and perhaps standard output, on a terminal.
func onTerminal(t *testing.T, both bool, args ...string) (o outcome) {
	t.Helper()
	tty, shown := terminal(t)
	cmd, stdout, _ := command(t, nil, args...)
	cmd.Dir = t.TempDir()
	if cmd.Stderr = tty; both {
		cmd.Stdout = tty
	}
	if err := cmd.Run(); err != nil {
		if _, exited := err.(*exec.ExitError); !exited {
			t.Fatal(err)
		}
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), shown()}
}

// TestScanConsent: a long scan from a terminal wants a word; one without a terminal does not, and finds nothing to send here.
func TestScanConsent(t *testing.T) {
	o := onTerminal(t, false, "scan", "127.0.0.0/8", "-p", "80", "--rate", "100k")
	o.want(t, 3)
	contains(t, o.stderr, "this is 16777216 probes, 2m48s if everything answers, 5m37s if nothing does: add --yes to start")
	onTerminal(t, false, "scan", "127.0.0.0/8", "-p", "80", "--dry-run").want(t, 0)
	scope := file(t, "scope", "127.0.0.0/12\n")
	for _, args := range []string{"127.0.0.0/12 -p 80", "127.0.0.0/8 -p 80 --yes", "127.0.0.0/8 -p 80 --scope " + scope} { // these go on, to the next mistake
		o := onTerminal(t, false, append(strings.Fields("scan -S 192.0.2.77 --checkpoint none/x"), strings.Fields(args)...)...)
		if strings.Contains(o.stderr, "--yes") {
			t.Errorf("%s: %s", args, o.stderr)
		}
	}
}

// TestLabScanBar: the bar stands on the terminal while the scan goes on, records pass above it, and at the end it is gone.
func TestLabScanBar(t *testing.T) {
	lab.Test(t, wide, func(t *testing.T, n *lab.Net) {
		n.Host("peer").Respond(t, lab.Responder{})
		o := onTerminal(t, true, "scan", "10.128.0.0/24", "-p", "80", "--rate", "400")
		o.want(t, 0)
		const erase = "\r\x1b[K"
		contains(t, o.stderr, "scanning 256 targets at 400 packets/s", erase, "%  [", "] ", "ETA ", "# 256 of 256 targets: 256 open,")
		if strings.Count(o.stderr, "256 of 256 targets") != 1 {
			t.Errorf("the summary is there twice:\n%q", o.stderr)
		}
		whole := map[string]bool{}
		for line := range strings.Lines(o.stderr) {
			_, line = cutLast(line, erase)
			if at, err := netip.ParseAddrPort(strings.SplitN(line, " ", 2)[0]); err == nil && strings.Contains(line, "open") {
				whole[at.String()] = true
			}
		}
		if len(whole) != 256 {
			t.Errorf("%d records are whole lines", len(whole))
		}
		if _, last := cutLast(o.stderr, erase); strings.Contains(last, "ETA") {
			t.Errorf("the bar is left: %q", last)
		}
	})
}

// cutLast cuts text at the last separator; without one, all is behind it.
func cutLast(text, separator string) (before, after string) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):]
	}
	return "", text
}
