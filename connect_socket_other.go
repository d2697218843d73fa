//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package rawshake

func (o socketOptions) set(fd int, v6 bool) error {
	switch {
	case o.mark != 0:
		return unsupported("Mark")
	case o.device != "":
		return unsupported("Interface")
	case o.ttl != 0:
		return unsupported("TTL")
	case o.tos != 0:
		return unsupported("TOS")
	}
	return nil
}
