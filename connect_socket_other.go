//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package rawshake

func (o socketOptions) set(fd int, v6 bool) error {
	switch {
	case o.mark != 0:
		return unsupported("Config.Mark")
	case o.device != "":
		return unsupported("Config.Interface")
	case o.ttl != 0:
		return unsupported("Config.TTL")
	case o.tos != 0:
		return unsupported("Config.TOS")
	}
	return nil
}
