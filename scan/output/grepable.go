package output

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rawshake/rawshake/scan/record"
)

// grepable writes nmap's -oG: a line a port, as masscan does it too. Of our evidence it has room for suspect alone, in
// the version field.
type grepable struct{ meta Meta }

func (g *grepable) header(dst []byte) []byte {
	dst = appendPlain(append(dst, "# rawshake "...), g.meta.Version)
	dst = append(append(dst, " scan initiated "...), g.meta.Start.Format(nmapTime)...)
	return append(appendPlain(append(dst, " as: "...), g.meta.Args), '\n')
}

// record writes port/state/protocol/owner/service/rpc/version/ behind the host.
func (g *grepable) record(dst []byte, r *record.Record) []byte {
	if !r.Target.IsValid() {
		return append(appendPlain(append(dst, "# no address: "...), r.Name), '\n')
	}
	dst = r.Target.Addr().AppendTo(append(dst, "Host: "...))
	dst = append(appendPlain(append(dst, " ("...), hostName(r.Name)), ")\tPorts: "...)
	dst = append(strconv.AppendUint(dst, uint64(r.Target.Port()), 10), '/')
	dst = append(append(dst, nmapPortState(r.State)...), "/tcp////"...)
	return append(appendPlain(dst, strings.ReplaceAll(r.Suspect, "/", "|")), "/\n"...)
}

func (g *grepable) footer(dst []byte, run *record.Run) []byte {
	dst = append(append(dst, "# rawshake done at "...), run.Time.Format(nmapTime)...)
	dst = strconv.AppendUint(append(dst, " -- "...), run.Done(), 10)
	dst = strconv.AppendUint(append(dst, " of "...), run.Targets, 10)
	dst = strconv.AppendUint(append(dst, " targets ("...), run.Open, 10)
	dst = strconv.AppendFloat(append(dst, " open) scanned in "...), run.Time.Sub(g.meta.Start).Seconds(), 'f', 2, 64)
	dst = append(dst, " seconds"...)
	if !run.Complete {
		dst = append(dst, ", INCOMPLETE"...)
	}
	return append(dst, '\n')
}

// appendPlain replaces control characters, of which tabs and line feeds would change the meaning of a line.
func appendPlain(dst []byte, text string) []byte {
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			r = '?'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
