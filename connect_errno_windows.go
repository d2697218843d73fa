package rawshake

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// portableErrno translates a Winsock error into the errno of the same meaning, so that programs can compare errors with
// constants of the package syscall, which on Windows are not what the system returns.
func portableErrno(errno syscall.Errno) syscall.Errno {
	switch errno {
	case windows.WSAECONNREFUSED:
		return syscall.ECONNREFUSED
	case windows.WSAECONNRESET, windows.ERROR_NETNAME_DELETED:
		return syscall.ECONNRESET
	case windows.WSAETIMEDOUT, windows.ERROR_SEM_TIMEOUT:
		return syscall.ETIMEDOUT
	case windows.WSAENETUNREACH, windows.ERROR_NETWORK_UNREACHABLE:
		return syscall.ENETUNREACH
	case windows.WSAEHOSTUNREACH, windows.ERROR_HOST_UNREACHABLE:
		return syscall.EHOSTUNREACH
	case windows.WSAEHOSTDOWN:
		return syscall.EHOSTDOWN
	case windows.WSAENETDOWN:
		return syscall.ENETDOWN
	case windows.WSAEACCES:
		return syscall.EACCES
	case windows.WSAEADDRNOTAVAIL:
		return syscall.EADDRNOTAVAIL
	case windows.WSAEADDRINUSE:
		return syscall.EADDRINUSE
	case windows.WSAEAFNOSUPPORT:
		return syscall.EAFNOSUPPORT
	case windows.WSAEMFILE:
		return syscall.EMFILE
	case windows.WSAENOBUFS:
		return syscall.ENOBUFS
	case windows.WSAEINVAL:
		return syscall.EINVAL
	}
	return errno
}
