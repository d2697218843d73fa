//go:build linux && !android

package doctor

import (
	"context"
	"io/fs"
	"iter"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/rawshake/rawshake/raw"
)

// Subject is what is examined: this machine, and the way to a target if there is one.
type Subject struct {
	Name      string         // the target as the user wrote it; "": none
	Target    netip.AddrPort // its first address; port 0: only the way is looked at
	Err       error          // why the name did not resolve
	Source    netip.Addr     // -S; may be invalid
	Interface string         // -I; may be empty
}

// patient is the subject and what examinations learn on the way.
type patient struct {
	Subject
	ctx    context.Context
	files  files
	links  links
	denied error // of raw.CheckPrivilege
}

// Examine yields the findings of all examinations, each as soon as it is known.
func Examine(ctx context.Context, s Subject) iter.Seq[Finding] {
	p := &patient{Subject: s, ctx: ctx, files: files{os.DirFS("/")}, links: readLinks(), denied: raw.CheckPrivilege()}
	if p.links.err != nil && p.denied != nil {
		p.links.err = p.denied // which says why
	}
	return func(yield func(Finding) bool) {
		for _, examine := range examinations() {
			for _, f := range examine(p) {
				if ctx.Err() != nil || !yield(f) {
					return
				}
			}
		}
	}
}

// examinations is the order of the report: what a later one needs comes first.
func examinations() []func(*patient) []Finding {
	return []func(*patient) []Finding{
		func(p *patient) []Finding { return judgePrivilege(p.privilege()) },
		func(p *patient) []Finding { return judgeContainer(p.container()) },
		func(p *patient) []Finding { return judgePorts(p.ports()) },
		func(p *patient) []Finding { return judgeGuards(p.guards()) },
		func(p *patient) []Finding { return judgeVRF(p.vrf()) },
		func(p *patient) []Finding { return judgeReceive(p.receive()) },
		func(p *patient) []Finding { return judgeBacklog(p.backlog()) },
		func(p *patient) []Finding { return judgeConntrack(p.conntrack()) },
		func(p *patient) []Finding { return judgeReversePath(p.reversePath()) },
		func(p *patient) []Finding { return judgeTranslators(p.translators()) },
		func(p *patient) []Finding { return judgeRoutes(p.routes()) },
		func(p *patient) []Finding { return judgeFrames(p.frames()) },
		func(p *patient) []Finding { return judgeAnswer(p.answer()) },
	}
}

// one makes findings of one.
func one(check string, level Level, text, fix string) []Finding {
	return []Finding{{check, level, text, fix}}
}

// files reads what the kernel says under /proc, where /proc/sys/net is that of the network namespace of the thread that reads; tests have
// their own. Nothing here reads /sys: it shows the interfaces of the namespace in which it was mounted.
type files struct{ fs.FS }

// text returns a file's contents without the white space around it; "" when it cannot be read.
func (f files) text(path string) string {
	b, _ := fs.ReadFile(f.FS, path) // what cannot be read counts as absent
	return strings.TrimSpace(string(b))
}

// number returns the number in a file; ok is false without one.
func (f files) number(path string) (n int, ok bool) {
	n, err := strconv.Atoi(f.text(path))
	return n, err == nil
}

// readOnly reports whether nobody may write a file that is there.
func (f files) readOnly(path string) bool {
	info, err := fs.Stat(f.FS, path)
	return err == nil && info.Mode().Perm()&0o222 == 0
}

func (f files) exists(path string) bool {
	_, err := fs.Stat(f.FS, path)
	return err == nil
}
