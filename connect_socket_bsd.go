//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package rawshake

func (o socketOptions) set(fd int, v6 bool) error {
	switch {
	case o.mark != 0:
		return unsupported("Config.Mark")
	case o.device != "":
		return unsupported("Config.Interface")
	}
	return setHeader(fd, v6, o.ttl, o.tos)
}
