//go:build linux && !android

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Privilege says whom a process runs as.
type Privilege uint8

// The privileges of processes in the lab.
const (
	// NetRaw is user 65534 with CAP_NET_RAW as the only capability, also in the bounding set.
	NetRaw Privilege = iota
	// Nobody is user 65534 without any capability and with a full bounding set: a plain user.
	Nobody
	// Confined is user 0 whose bounding set lacks CAP_NET_RAW: a hardened container.
	Confined
	// Root is user 0 with every capability.
	Root
)

const nobody = 65534

// attributes are what fork and exec have to do. The child never outlives the thread that made it.
func (as Privilege) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	switch as {
	case NetRaw:
		attr.AmbientCaps = []uintptr{unix.CAP_NET_RAW}
		fallthrough
	case Nobody:
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return attr
}

// bound drops from the calling thread's bounding set what a child must not be able to get.
func (as Privilege) bound() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		drop := as == NetRaw && c != unix.CAP_NET_RAW || as == Confined && c == unix.CAP_NET_RAW
		if !drop {
			continue
		}
		// EINVAL: a capability newer than this kernel.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	return nil
}

// process is a running child.
type process struct {
	*os.Process
	done chan struct{}
	err  error // of Wait, once done is closed
}

// spawn starts cmd inside the host's namespace. The thread that forks stays until the child has ended, because the
// child dies with it.
func (n *node) spawn(as Privilege, cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = as.attributes()
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go onThread(func() error {
		err := n.prepare(as)
		if err == nil {
			err = cmd.Start()
		}
		p.Process = cmd.Process
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
		return nil
	})
	return p, <-started
}

// prepare moves the calling thread where its child is to run.
func (n *node) prepare(as Privilege) error {
	if err := n.ns.enter(); err != nil {
		return err
	}
	if err := n.mount(); err != nil {
		return err
	}
	return as.bound()
}

// mount gives the calling thread its own view of the files: /sys of its network namespace, and the replaced files.
func (n *node) mount() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	for path, contents := range n.top.Files {
		if err := replaceFile(path, contents); err != nil {
			return fmt.Errorf("replace %s: %w", path, err)
		}
	}
	return nil
}

// replaceFile mounts a file over another; only the calling thread's mount namespace sees it.
func replaceFile(path, contents string) error {
	f, err := os.CreateTemp("", "lab")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteString(contents); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return unix.Mount(f.Name(), path, "", unix.MS_BIND, "")
}
