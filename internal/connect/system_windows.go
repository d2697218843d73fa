package connect

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// setHeader refuses: nobody has tried these options here.
func setHeader(_ int, _ bool, ttl, tos uint8) error {
	switch {
	case ttl != 0:
		return unsupported("Config.TTL")
	case tos != 0:
		return unsupported("Config.TOS")
	}
	return nil
}

// descriptorLimit is the size of the range of source ports that Windows uses: there is no limit of descriptors.
func descriptorLimit() int { return 16384 }

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
