package output

import (
	"bufio"
	"bytes"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/rawshake/rawshake/scan/record"
)

// xml writes nmap's -oX by the rules of nmap.dtd, so that existing readers take it: scanner="nmap" is the only name that
// the DTD and several readers allow; the comment and args say who wrote it. A host element holds one port, because
// results come in any order; groupHosts joins them at the end of a complete run.
type xml struct{ meta Meta }

const xmlComment = "<!-- written by rawshake -->\n"

// xmlLayout has a host element's line for each port.
var xmlLayout = layout{
	ungrouped: xmlComment, grouped: "<!-- written by rawshake, grouped by host -->\n",
	host: func(line []byte) (addr string, up, mere, ok bool) {
		if !bytes.HasPrefix(line, []byte("<host ")) {
			return "", false, false, false
		}
		_, rest, _ := bytes.Cut(line, []byte(`<address addr="`))
		value, _, _ := bytes.Cut(rest, []byte(`"`))
		return string(value), bytes.Contains(line, []byte(`<status state="up"`)), false, true
	},
	write: writeXMLHost,
	behind: func(line []byte, up, hosts uint64) []byte {
		if bytes.HasPrefix(line, []byte("<hosts ")) {
			return appendHostCounts(nil, up, hosts-up, hosts)
		}
		return line
	},
}

// writeXMLHost writes one element: the head of the best line, and the ports of all.
func writeXMLHost(w *bufio.Writer, lines [][]byte, best int, _ bool) error {
	var head, ports, tail []byte
	for i, line := range lines {
		before, rest, _ := bytes.Cut(line, []byte("<ports>"))
		inner, after, _ := bytes.Cut(rest, []byte("</ports>"))
		ports = append(ports, inner...)
		if i == best {
			head, tail = before, after
		}
	}
	w.Write(head)
	w.WriteString("<ports>")
	w.Write(ports)
	w.WriteString("</ports>")
	_, err := w.Write(tail)
	return err
}

func (x *xml) header(dst []byte) []byte {
	dst = append(dst, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE nmaprun>\n"+xmlComment...)
	dst = append(dst, `<nmaprun scanner="nmap"`...)
	dst = appendAttr(dst, "args", x.meta.Args)
	dst = appendAttrInt(dst, "start", x.meta.Start.Unix())
	dst = appendAttr(dst, "startstr", x.meta.Start.Format(nmapTime))
	dst = appendAttr(dst, "version", x.meta.Version)
	dst = append(dst, " xmloutputversion=\"1.05\">\n"...)
	if x.meta.Services != "" {
		scan := "syn"
		if x.meta.Method == "connect" {
			scan = "connect"
		}
		dst = appendAttr(append(dst, "<scaninfo"...), "type", scan)
		dst = appendAttrInt(append(dst, ` protocol="tcp"`...), "numservices", int64(x.meta.Ports))
		dst = append(appendAttr(dst, "services", x.meta.Services), "/>\n"...)
	}
	return append(dst, "<verbose level=\"0\"/>\n<debugging level=\"0\"/>\n"...)
}

func (x *xml) record(dst []byte, r *record.Record) []byte {
	if !r.Target.IsValid() { // a name without an address
		dst = appendAttr(append(dst, "<target"...), "specification", r.Name)
		return append(dst, " status=\"skipped\" reason=\"invalid\"/>\n"...)
	}
	dst = append(dst, "<host"...)
	dst = appendAttrInt(dst, "endtime", r.Time.Unix())
	dst = appendAttr(append(dst, "><status"...), "state", nmapHostState(r))
	dst = append(appendXMLReason(dst, r), "/><address"...)
	dst = appendAttrAddr(dst, "addr", r.Target.Addr())
	if r.Target.Addr().Is4() {
		dst = append(dst, ` addrtype="ipv4"/>`...)
	} else {
		dst = append(dst, ` addrtype="ipv6"/>`...)
	}
	if name := hostName(r.Name); name != "" {
		dst = appendAttr(append(dst, "<hostnames><hostname"...), "name", name)
		dst = append(dst, ` type="user"/></hostnames>`...)
	}
	dst = appendXMLPort(append(dst, "<ports>"...), r)
	dst = appendXMLTimes(append(dst, "</ports>"...), r.RTT)
	return append(dst, "</host>\n"...)
}

func appendXMLPort(dst []byte, r *record.Record) []byte {
	dst = appendAttrInt(append(dst, `<port protocol="tcp"`...), "portid", int64(r.Target.Port()))
	dst = appendAttr(append(dst, "><state"...), "state", nmapPortState(r.State))
	dst = appendXMLReason(dst, r)
	if a := record.FieldResponder.Address(r); a.IsValid() {
		dst = appendAttrAddr(dst, "reason_ip", a)
	}
	dst = append(dst, "/>"...)
	dst = appendXMLScript(dst, "rawshake-suspect", r.Suspect)
	dst = appendXMLScript(dst, "rawshake-label", r.Label)
	return append(dst, "</port>"...)
}

// appendXMLScript uses the place that nmap has for what its scripts found.
func appendXMLScript(dst []byte, id, output string) []byte {
	if output == "" {
		return dst
	}
	dst = appendAttr(append(dst, "<script"...), "id", id)
	return append(appendAttr(dst, "output", output), "/>"...)
}

func appendXMLReason(dst []byte, r *record.Record) []byte {
	dst = appendAttr(dst, "reason", nmapReason(r))
	return appendAttrInt(dst, "reason_ttl", int64(r.TTL))
}

// appendXMLTimes writes the estimates that TCP makes from a first sample (RFC 6298, section 2.2) in microseconds:
// SRTT R, RTTVAR R/2, timeout SRTT + 4 RTTVAR.
func appendXMLTimes(dst []byte, rtt time.Duration) []byte {
	if rtt <= 0 {
		return dst
	}
	us := rtt.Microseconds()
	dst = appendAttrInt(append(dst, "<times"...), "srtt", us)
	dst = appendAttrInt(dst, "rttvar", us/2)
	return append(appendAttrInt(dst, "to", 3*us), "/>"...)
}

func (x *xml) footer(dst []byte, run *record.Run) []byte {
	dst = appendAttrInt(append(dst, "<runstats><finished"...), "time", run.Time.Unix())
	dst = appendAttr(dst, "timestr", run.Time.Format(nmapTime))
	dst = append(dst, ` elapsed="`...)
	dst = append(strconv.AppendFloat(dst, run.Time.Sub(x.meta.Start).Seconds(), 'f', 2, 64), '"')
	if run.Complete {
		dst = append(dst, ` exit="success"/>`...)
	} else {
		dst = append(dst, ` exit="error" errormsg="the run is incomplete"/>`...)
	}
	// Until the hosts are grouped nobody has counted them: each target stands for one.
	dst = appendHostCounts(append(dst, '\n'), run.Open+run.Closed, run.Targets-min(run.Targets, run.Open+run.Closed), run.Targets)
	return append(dst, "</runstats>\n</nmaprun>\n"...)
}

// appendHostCounts writes a line of its own, which groupHosts replaces.
func appendHostCounts(dst []byte, up, down, total uint64) []byte {
	dst = appendAttrInt(append(dst, "<hosts"...), "up", int64(up))
	dst = appendAttrInt(dst, "down", int64(down))
	return append(appendAttrInt(dst, "total", int64(total)), "/>\n"...)
}

func appendAttr(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(appendXMLText(dst, value), '"')
}

func appendAttrInt(dst []byte, name string, n int64) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(strconv.AppendInt(dst, n, 10), '"')
}

func appendAttrAddr(dst []byte, name string, a netip.Addr) []byte {
	if a.Zone() != "" { // the name of an interface, which may hold anything
		return appendAttr(dst, name, a.String())
	}
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(a.AppendTo(dst), '"')
}

// appendXMLText escapes text for an attribute as encoding/xml does. What XML 1.0 cannot hold becomes U+FFFD.
func appendXMLText(dst []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '"':
			dst = append(dst, "&#34;"...)
		case r == '\'':
			dst = append(dst, "&#39;"...)
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '\t':
			dst = append(dst, "&#x9;"...)
		case r == '\n':
			dst = append(dst, "&#xA;"...)
		case r == '\r':
			dst = append(dst, "&#xD;"...)
		case r < ' ' || r == 0xfffe || r == 0xffff:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
