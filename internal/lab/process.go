//go:build linux && !android

package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// Command is a program to run in a host's namespace.
type Command struct {
	Path string   // if empty, the test binary itself; it is looked up in PATH
	Args []string // without the name
	Env  []string // besides that of the test
	Dir  string   // if empty, that of the test
	As   Privilege

	Stdin          io.Reader // if nil, nothing
	Stdout, Stderr io.Writer // if nil, discarded
}

// Running is a started command.
type Running struct {
	made   *made
	status *os.File // one line when the command has ended
	copied sync.WaitGroup
	Pid    int
}

type startArgs struct {
	Path      string
	Args, Env []string
	Dir       string
	As        Privilege
}

// exitStatus is how a command ended: with a code, or -1 and the signal's number.
type exitStatus struct{ Code, Signal int }

// Run runs the command in the host's namespace and returns its exit code, or minus the number of the signal that ended it. A command that
// cannot be started ends the test.
func (h *Host) Run(t testing.TB, cmd Command) int {
	t.Helper()
	return h.Start(t, cmd).Wait(t)
}

// Start starts the command; it is killed at the end of t.
func (h *Host) Start(t testing.TB, cmd Command) *Running {
	t.Helper()
	r := &Running{}
	files, err := r.pipes(cmd)
	if err != nil {
		t.Fatal(err)
	}
	args := startArgs{cmd.Path, cmd.Args, cmd.Env, cmd.Dir, cmd.As}
	r.made, err = h.call("start", args, &r.Pid, files...)
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.status = r.made.files[0]
	r.made.undoAtEnd(t)
	return r
}

// pipes makes the command's standard files and copies between them and what the caller gave.
func (r *Running) pipes(cmd Command) (theirs []*os.File, err error) {
	in, inEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, in)
	go func() {
		if cmd.Stdin != nil {
			io.Copy(inEnd, cmd.Stdin)
		}
		inEnd.Close()
	}()
	for _, w := range []io.Writer{cmd.Stdout, cmd.Stderr} {
		outEnd, out, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		theirs = append(theirs, out)
		if w == nil {
			w = io.Discard
		}
		r.copied.Go(func() {
			io.Copy(w, outEnd)
			outEnd.Close()
		})
	}
	return theirs, nil
}

// Wait waits until the command has ended and its output is complete; see [Host.Run] for what it returns.
func (r *Running) Wait(t testing.TB) int {
	t.Helper()
	defer r.status.Close()
	var s exitStatus
	if err := json.NewDecoder(r.status).Decode(&s); err != nil {
		t.Fatalf("lab: how the command ended: %v", err)
	}
	r.copied.Wait()
	if s.Signal != 0 {
		return -s.Signal
	}
	return s.Code
}

// Signal sends a signal to the command.
func (r *Running) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if _, _, err := r.made.client.call("signal", "", signalArgs{r.made.handle, sig}, nil); err != nil {
		t.Fatal(err)
	}
}

type signalArgs struct {
	Handle int
	Signal syscall.Signal
}

func opSignal(c *call, a signalArgs) (any, error) {
	h := c.server.handles[a.Handle]
	if h == nil || h.process == nil {
		return nil, fmt.Errorf("handle %d is no process", a.Handle)
	}
	return none{}, h.process.Signal(a.Signal)
}

func opStart(c *call, a startArgs) (any, error) {
	if a.Path == "" {
		a.Path = "/proc/self/exe"
	}
	cmd := exec.Command(a.Path, a.Args...)
	cmd.Env, cmd.Dir = append(os.Environ(), a.Env...), a.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in[0], c.in[1], c.in[2]
	status, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p, err := c.spawn(a.As, cmd)
	if err != nil {
		status.Close()
		end.Close()
		return nil, err
	}
	go func() {
		<-p.done
		json.NewEncoder(end).Encode(statusOf(cmd.ProcessState))
		end.Close()
	}()
	c.out = append(c.out, status)
	c.handle = &handle{process: p.Process, undo: func() error {
		p.Kill() // it may have ended
		<-p.done
		return nil
	}}
	return p.Pid, nil
}

func statusOf(state *os.ProcessState) exitStatus {
	w, ok := state.Sys().(syscall.WaitStatus)
	if ok && w.Signaled() {
		return exitStatus{-1, int(w.Signal())}
	}
	return exitStatus{Code: state.ExitCode()}
}
