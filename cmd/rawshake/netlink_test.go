//go:build linux && !android

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// link is an interface that this kernel does not have: it is none of a kind that the kernel was built with, or its driver counts what
// no virtual one does.
type link struct {
	name, kind string
	missed     uint64
}

// toolAmong runs the command among more interfaces than there are. The netlink socket by which it lists them comes from this process
// (seccomp_unotify(2)), which asks the kernel and adds the links to what that answers. It is the first that is asked for, but for some
// that are let pass.
func toolAmong(t *testing.T, pass int, links []link, args ...string) outcome {
	t.Helper()
	cmd, stdout, stderr := command(t, []string{roleVariable + "=among"}, args...)
	ours, theirs, err := seqpacket()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- supervise(ours, pass, links) }()
	err = cmd.Wait()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func seqpacket() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs"), nil
}

// becomeAmong is the role of the command: it hands the listener of its filter to the process that started it.
func becomeAmong() error {
	const inherited, sizeOfNetlink = 3, 12
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: seccompNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SOCKET, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_BIND, SkipTrue: 2, SkipFalse: 5},
		bpf.LoadAbsolute{Off: seccompArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 2, SkipFalse: 3},
		bpf.LoadAbsolute{Off: seccompArg2, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: sizeOfNetlink, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the thread that execs keeps its filter
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(inherited, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.Close(int(listener))
	unix.Close(inherited)
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// Structures of linux/seccomp.h.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		number     int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	response struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
	addition struct {
		id                              uint64
		flags, from, number, closeFlags uint32
	}
)

// supervisor answers what the filter asks.
type supervisor struct {
	listener       int
	links          []link
	sockets, binds int        // still to pass
	socket         *os.File   // our end of the one that we gave
	served         chan error // how serving it ended
}

// supervise returns when the command has ended.
func supervise(from *os.File, pass int, links []link) error {
	listener, err := receiveFile(from)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	s := &supervisor{listener: listener, links: links, sockets: pass, binds: pass, served: make(chan error, 1)}
	for err == nil && s.asked() {
		var n notification
		if err = s.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err == nil {
			err = s.answer(n)
		}
		if errors.Is(err, unix.ENOENT) { // who asked has been killed
			err = nil
		}
	}
	if s.socket == nil {
		return errors.Join(err, errors.New("the command did not list the interfaces"))
	}
	return errors.Join(err, <-s.served)
}

// asked waits for a question. It returns false when nobody is left to ask.
func (s *supervisor) asked() bool {
	poll := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
	for poll[0].Revents == 0 {
		unix.Poll(poll, -1)
	}
	return poll[0].Revents&unix.POLLIN != 0
}

func (s *supervisor) control(request uint, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), uintptr(request), uintptr(argument))
	if errno == unix.EINTR {
		return s.control(request, argument)
	}
	if errno != 0 {
		return fmt.Errorf("ioctl %#x of the filter: %w", request, errno)
	}
	return nil
}

// answer gives one socket of ours, calls it bound, and lets everything else pass.
func (s *supervisor) answer(n notification) error {
	r := response{id: n.id}
	count := &s.sockets
	if n.number == unix.SYS_BIND {
		count = &s.binds
	}
	if *count--; *count != -1 {
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	} else if n.number == unix.SYS_SOCKET {
		return s.replace(n)
	}
	return s.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

func (s *supervisor) replace(n notification) error {
	ours, theirs, err := seqpacket()
	if err != nil {
		return err
	}
	defer theirs.Close()
	s.socket = ours
	go func() { s.served <- serveLinks(ours, s.links) }()
	add := addition{id: n.id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, from: uint32(theirs.Fd()), closeFlags: unix.O_CLOEXEC}
	return s.control(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&add))
}

// receiveFile takes the one descriptor out of a message.
func receiveFile(from *os.File) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(from.Fd()), make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("no descriptor came: %v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// serveLinks answers each request on the socket, which has to be one for all interfaces, until the other end is closed.
func serveLinks(socket *os.File, links []link) error {
	defer socket.Close()
	request := make([]byte, 4096)
	for {
		n, err := unix.Read(int(socket.Fd()), request)
		if err != nil || n == 0 {
			return err
		}
		asked, err := syscall.ParseNetlinkMessage(request[:n])
		if err != nil || len(asked) != 1 || asked[0].Header.Type != unix.RTM_GETLINK || asked[0].Header.Flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
			return fmt.Errorf("%+v (%v) does not ask for the interfaces", asked, err)
		}
		answer, err := kernelLinks(asked[0].Header.Seq, links)
		if err != nil {
			return err
		}
		if _, err := unix.Write(int(socket.Fd()), answer); err != nil {
			return err
		}
	}
}

// kernelLinks is the kernel's answer with more links ahead of its own.
func kernelLinks(seq uint32, links []link) (answer []byte, err error) {
	all, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC) // to NLMSG_DONE
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseNetlinkMessage(all)
	for i, l := range links {
		answer = appendMessage(answer, unix.RTM_NEWLINK, seq, l.encode(1000+i))
	}
	for _, m := range messages {
		answer = appendMessage(answer, m.Header.Type, seq, m.Data)
	}
	return answer, err
}

func appendMessage(b []byte, kind uint16, seq uint32, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_MULTI)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, body...) // struct nlmsghdr; bodies of links are whole words
}

// encode makes a struct ifinfomsg and its attributes, as rtnl_fill_ifinfo (net/core/rtnetlink.c) does.
func (l link) encode(index int) []byte {
	info := unix.IfInfomsg{Type: unix.ARPHRD_ETHER, Index: int32(index), Flags: unix.IFF_UP | unix.IFF_LOWER_UP}
	b := bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofIfInfomsg))
	b = appendAttribute(b, unix.IFLA_IFNAME, append([]byte(l.name), 0))
	if l.kind != "" {
		b = appendAttribute(b, unix.IFLA_LINKINFO, appendAttribute(nil, unix.IFLA_INFO_KIND, append([]byte(l.kind), 0)))
	}
	const missedAt, counters = 15, 25 // rx_missed_errors of struct rtnl_link_stats64 (linux/if_link.h)
	stats := make([]byte, 8*counters)
	binary.NativeEndian.PutUint64(stats[8*missedAt:], l.missed)
	return appendAttribute(b, unix.IFLA_STATS64, stats)
}

func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
