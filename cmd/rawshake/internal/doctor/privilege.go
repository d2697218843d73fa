//go:build linux && !android

package doctor

import (
	"errors"
	"os"

	"github.com/rawshake/rawshake/raw"
)

// privilegeFacts say whether raw sockets can be opened.
type privilegeFacts struct {
	err   error // of raw.CheckPrivilege
	root  bool
	wider bool // more capabilities are effective than CAP_NET_RAW
	self  string
}

func (p *patient) privilege() privilegeFacts {
	f := privilegeFacts{err: p.denied, root: os.Geteuid() == 0}
	f.self, _ = os.Executable() // only for the fix
	f.wider = p.files.status("CapEff")&^netRaw != 0
	return f
}

func judgePrivilege(f privilegeFacts) []Finding {
	const check = "privilege"
	var missing *raw.PrivilegeError
	switch {
	case errors.As(f.err, &missing):
		fix, other := SplitFix(missing.Fix)
		all := one(check, Fail, "raw sockets cannot be opened: "+missing.Situation, fix)
		if other != "" {
			all = append(all, Finding{check, Info, "there are other ways to get them", other})
		}
		return all
	case f.err != nil:
		return one(check, Fail, "raw sockets cannot be opened: "+f.err.Error(), openingFix(f.err, watchFix))
	case f.root && f.wider:
		return one(check, Info, "raw sockets open, with all the power of root: CAP_NET_RAW alone is enough", "sudo setcap cap_net_raw+p "+f.self)
	}
	return one(check, OK, "raw sockets open (CAP_NET_RAW)", "")
}
