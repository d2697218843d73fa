package output

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rawshake/rawshake/scan/record"
)

// grepable writes nmap's -oG: a line a port, as masscan does it too, behind one that says "Status: Up" where the port has answered, for
// who looks for that; groupHosts makes of them what nmap writes, a line of each kind for a host. Of our evidence it has room for suspect
// alone, in the version field.
type grepable struct{ meta Meta }

const (
	grepableComment = "# written by rawshake, a line a port\n"
	statusUp        = "\tStatus: Up\n"
	portsField      = "\tPorts: "
)

// grepableLayout has a line for each port.
var grepableLayout = layout{
	ungrouped: grepableComment, grouped: "# written by rawshake, grouped by host\n",
	host: func(line []byte) (addr string, up, mere, ok bool) {
		rest, ok := bytes.CutPrefix(line, []byte("Host: "))
		if !ok {
			return "", false, false, false
		}
		value, rest, _ := bytes.Cut(rest, []byte(" "))
		_, port, isPort := bytes.Cut(rest, []byte(portsField))
		up = bytes.Contains(port, []byte("/open/")) || bytes.Contains(port, []byte("/closed/"))
		return string(value), up, !isPort, true
	},
	write:  writeGrepableHost,
	behind: func(line []byte, _, _ uint64) []byte { return line },
}

// writeGrepableHost writes the two lines of a host.
func writeGrepableHost(w *bufio.Writer, lines [][]byte, best int, up bool) error {
	host, _, _ := bytes.Cut(lines[best], []byte(portsField))
	if up {
		w.Write(host)
		w.WriteString(statusUp)
	}
	w.Write(host)
	w.WriteString(portsField)
	for i, line := range lines {
		if i > 0 {
			w.WriteString(", ")
		}
		_, port, _ := bytes.Cut(line, []byte(portsField))
		w.Write(bytes.TrimSuffix(port, []byte("\n")))
	}
	return w.WriteByte('\n')
}

func (g *grepable) header(dst []byte) []byte {
	dst = appendPlain(append(dst, grepableComment+"# rawshake "...), g.meta.Version)
	dst = append(append(dst, " scan initiated "...), g.meta.Start.Format(nmapTime)...)
	return append(appendPlain(append(dst, " as: "...), g.meta.Args), '\n')
}

// record writes port/state/protocol/owner/service/rpc/version/ behind the host.
func (g *grepable) record(dst []byte, r *record.Record) []byte {
	if !r.Target.IsValid() {
		return append(appendPlain(append(dst, "# no address: "...), r.Name), '\n')
	}
	if nmapHostState(r) == "up" {
		dst = append(appendHost(dst, r), statusUp...)
	}
	dst = append(appendHost(dst, r), portsField...)
	dst = append(strconv.AppendUint(dst, uint64(r.Target.Port()), 10), '/')
	dst = append(append(dst, nmapPortState(r.State)...), "/tcp////"...)
	return append(appendPlain(dst, apart.Replace(r.Suspect)), "/\n"...)
}

// appendHost appends the field that begins each line of a host.
func appendHost(dst []byte, r *record.Record) []byte {
	dst = r.Target.Addr().AppendTo(append(dst, "Host: "...))
	return append(appendPlain(append(dst, " ("...), hostName(r.Name)), ')')
}

// apart keeps a text from what divides ports and their parts; nmap takes | for / too.
var apart = strings.NewReplacer("/", "|", ",", ";")

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
