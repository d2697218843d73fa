//go:build linux && !android

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace. The kernel removes it, with its interfaces, when the file is closed and no process
// and no socket is left in it.
type namespace struct{ file *os.File }

func newNamespace() (namespace, error) {
	var ns namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		var err error
		ns.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// do runs fn on a thread inside the namespace. Goroutines that fn starts run outside of it.
func (ns namespace) do(fn func() error) error {
	return onThread(func() error {
		if err := ns.enter(); err != nil {
			return err
		}
		return fn()
	})
}

// enter moves the calling thread into the namespace; it never moves back.
func (ns namespace) enter() error {
	if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return nil
}

// sysctl writes a value under /proc/sys, whose net directory is that of the calling thread's namespace, and returns
// the one that was there before.
func (ns namespace) sysctl(key, value string) (old string, err error) {
	path := filepath.Join("/proc/sys", key)
	err = ns.do(func() error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		old = string(b)
		return os.WriteFile(path, []byte(value), 0)
	})
	return old, err
}

// onThread runs fn on a thread of its own that ends with fn: a thread that changed its namespaces or privileges must
// never carry other goroutines, and a goroutine that ends locked takes its thread along.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}
