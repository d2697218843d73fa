package output

import (
	"bytes"
	stdxml "encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lair-framework/go-nmap"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// TestXMLReader feeds the document to a reader that others use.
func TestXMLReader(t *testing.T) {
	path := writeAll(t, "x.xml", func(s *Set) {
		mustWrite(t, s, records()...)
		finish(t, s, run)
	})
	doc, err := nmap.Parse([]byte(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	if doc.Scanner != "nmap" || doc.Args != meta.Args || doc.Version != "0.1.0" || doc.ScanInfo.Services != "80,443" || doc.ScanInfo.NumServices != 2 {
		t.Errorf("head: %+v", doc)
	}
	var got []string
	for _, h := range doc.Hosts {
		line := h.Status.State + " " + h.Addresses[0].AddrType + " " + h.Addresses[0].Addr
		for _, name := range h.Hostnames {
			line += " " + name.Name
		}
		for _, p := range h.Ports {
			line += fmt.Sprintf(" %d/%s/%s/%s/%v", p.PortId, p.Protocol, p.State.State, p.State.Reason, p.State.ReasonTTL)
			if p.State.ReasonIP != "" {
				line += "/" + p.State.ReasonIP
			}
			for _, s := range p.Scripts {
				line += " " + s.Id + "=" + s.Output
			}
		}
		got = append(got, line)
	}
	want := []string{
		"up ipv4 192.0.2.1 www.example.net 80/tcp/filtered/no-response/0 rawshake-label=edge <1> 443/tcp/open/syn-ack/57 rawshake-label=edge <1>",
		"up ipv6 2001:db8::7 443/tcp/closed/reset/64",
		"down ipv4 198.51.100.7 80/tcp/filtered/host-unreach/250/203.0.113.1",
		"up ipv4 192.0.2.9 80/tcp/open/syn-ack/255 rawshake-suspect=window 0/no options",
		"unknown ipv6 fe80::1%eth0 80/tcp/unknown/link-down/0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(doc.Targets) != 1 || doc.Targets[0].Specification != "no.such:80" {
		t.Errorf("targets: %+v", doc.Targets)
	}
	if f := doc.RunStats.Finished; f.Exit != "success" || f.Elapsed != 2 {
		t.Errorf("finished: %+v", f)
	}
	if h := doc.RunStats.Hosts; h.Up != 3 || h.Total != 5 {
		t.Errorf("hosts: %+v", h)
	}
}

// dtd is what nmap.dtd says of the elements that we write: their children as a regular expression, and their attributes,
// "!" for required and with the words of an enumeration.
var dtd = map[string]struct{ children, attributes string }{
	"nmaprun":   {`(scaninfo )*verbose debugging ((target|host) )*runstats `, "scanner!nmap args start startstr version! xmloutputversion!"},
	"scaninfo":  {``, "type!syn|connect protocol!tcp numservices! services! scanflags"},
	"verbose":   {``, "level"},
	"debugging": {``, "level"},
	"target":    {``, "specification! status!skipped reason!invalid"},
	"host":      {`status address ((address|hostnames|ports) )*(times )?`, "starttime endtime comment"},
	"status":    {``, "state!up|down|unknown|skipped reason! reason_ttl!"},
	"address":   {``, "addr! addrtype!ipv4|ipv6|mac vendor"},
	"hostnames": {`(hostname )*`, ""},
	"hostname":  {``, "name type!user|PTR"},
	"ports":     {`(extraports )*(port )*`, ""},
	"port":      {`state (owner )?(service )?(script )*`, "protocol!tcp portid!"},
	"state":     {``, "state! reason! reason_ttl! reason_ip"},
	"script":    {``, "id! output!"},
	"times":     {``, "srtt! rttvar! to!"},
	"runstats":  {`finished hosts `, ""},
	"finished":  {``, "time! timestr elapsed! summary exit!error|success errormsg"},
	"hosts":     {``, "up down total!"},
}

// validate reads a whole document and checks every element against dtd.
func validate(t *testing.T, document string) {
	t.Helper()
	d := stdxml.NewDecoder(strings.NewReader(document))
	type open struct{ name, children string }
	stack := []open{{}}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		switch e := token.(type) {
		case stdxml.StartElement:
			stack[len(stack)-1].children += e.Name.Local + " "
			stack = append(stack, open{name: e.Name.Local})
			validateAttributes(t, e)
		case stdxml.EndElement:
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if model := dtd[top.name].children; !regexp.MustCompile("^" + model + "$").MatchString(top.children) {
				t.Errorf("%s holds %q, the DTD wants %q", top.name, top.children, model)
			}
		}
	}
	if stack[0].children != "nmaprun " {
		t.Errorf("the document holds %q", stack[0].children)
	}
}

func validateAttributes(t *testing.T, e stdxml.StartElement) {
	t.Helper()
	model, ok := dtd[e.Name.Local]
	if !ok {
		t.Errorf("no element %s in the DTD", e.Name.Local)
	}
	have := map[string]string{}
	for _, a := range e.Attr {
		have[a.Name.Local] = a.Value
	}
	for word := range strings.FieldsSeq(model.attributes) {
		name, values, required := strings.Cut(word, "!")
		value, ok := have[name]
		if required && !ok {
			t.Errorf("%s lacks %s", e.Name.Local, name)
		}
		if values != "" && !slices.Contains(strings.Split(values, "|"), value) {
			t.Errorf("%s has %s=%q, the DTD allows %s", e.Name.Local, name, value, values)
		}
		delete(have, name)
	}
	if len(have) > 0 {
		t.Errorf("%s has attributes that the DTD does not know: %v", e.Name.Local, have)
	}
}

// TestXMLValid checks documents against the DTD: grouped and not, of a broken run, and with hostile strings everywhere.
func TestXMLValid(t *testing.T) {
	hostile := "\"'&<>]]>\x00\x1b\t\n\ufffe\xff</host>\n<host "
	bad := record.Record{Name: hostile + ":1", Target: netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(hostile), 1),
		State: match.Open, Reason: match.SYNACK, Suspect: hostile, Label: hostile, Method: hostile}
	incomplete := run
	incomplete.Complete = false
	for name, r := range map[string]record.Run{"complete": run, "incomplete": incomplete} {
		t.Run(name, func(t *testing.T) {
			path := writeAll(t, "x.xml", func(s *Set) {
				mustWrite(t, s, append(records(), bad, bad)...)
				finish(t, s, r)
			})
			validate(t, read(t, path))
		})
	}
}

func FuzzXMLText(f *testing.F) {
	f.Add("a\"'&<>\t\n\r\x00\ufffe\uffff\xff🚪\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		if err := stdxml.EscapeText(&want, []byte(s)); err != nil {
			t.Fatal(err)
		}
		if got := string(appendXMLText(nil, s)); got != want.String() {
			t.Errorf("got %q, want %q", got, want.String())
		}
	})
}

// TestGroupHostsLimit: beyond the bound the file stays as it is, whole.
func TestGroupHostsLimit(t *testing.T) {
	incomplete := run
	incomplete.Complete = false
	path := writeAll(t, "x.xml", func(s *Set) {
		mustWrite(t, s, records()...)
		finish(t, s, incomplete)
	})
	before := read(t, path)
	if grouped, err := groupHosts(path, &xmlLayout, 2); grouped || err != nil {
		t.Fatal(grouped, err)
	}
	if read(t, path) != before {
		t.Error("the file was changed")
	}
	if grouped, err := groupHosts(path, &xmlLayout, 100); !grouped || err != nil {
		t.Fatal(grouped, err)
	}
	after := read(t, path)
	if strings.Count(before, "<host ") != 6 || strings.Count(after, "<host ") != 5 {
		t.Errorf("%d host elements became %d", strings.Count(before, "<host "), strings.Count(after, "<host "))
	}
	if _, err := groupHosts(path, &xmlLayout, 100); err != nil || read(t, path) != after {
		t.Errorf("grouping twice changes something: %v", err)
	}
	if left, _ := filepath.Glob(path + ".*"); left != nil {
		t.Errorf("%v is left", left)
	}
}

// TestUngrouped: it is told which files keep a host element for each port.
func TestUngrouped(t *testing.T) {
	incomplete := run
	incomplete.Complete = false
	for _, test := range []struct {
		name string
		run  record.Run
		want bool
	}{{"x.xml", run, false}, {"x.xml", incomplete, true}, {"x.xml.zst", run, true}, {"x.jsonl", run, false}} {
		path := filepath.Join(t.TempDir(), test.name)
		_, s := openSpecs(t, path)
		mustWrite(t, s, records()...)
		finish(t, s, test.run)
		if got := slices.Equal(s.Ungrouped(), []string{path}); got != test.want || len(s.Ungrouped()) > 1 {
			t.Errorf("%s, complete %v: %q", test.name, test.run.Complete, s.Ungrouped())
		}
	}
}

// TestGroupHostsInPlace: a file that others have linked to, or let somebody read, stays that.
func TestGroupHostsInPlace(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "kept", "x.xml"), filepath.Join(dir, "x.xml")
	if err := errors.Join(
		os.Mkdir(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o664), os.Symlink("kept/x.xml", link),
	); err != nil {
		t.Fatal(err)
	}
	_, s := openSpecs(t, link)
	mustWrite(t, s, records()...)
	finish(t, s, run)
	if got := read(t, path); !strings.Contains(got, xmlLayout.grouped) {
		t.Errorf("the file holds\n%s", got)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o664 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if to, err := os.Readlink(link); to != "kept/x.xml" {
		t.Errorf("%s %v", to, err)
	}
}

// TestGroupHostsMany compares the ports of each host before and after, over a shuffled scan.
func TestGroupHostsMany(t *testing.T) {
	path := writeAll(t, "x.xml", func(s *Set) {
		for i := range 5000 {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(i * 7919 % 97), 1})
			mustWrite(t, s, record.Record{Target: netip.AddrPortFrom(addr, uint16(i)), State: match.State(1 + i%2), Reason: match.Reason(1 + i%2), TTL: 64})
		}
		finish(t, s, run)
	})
	doc, err := nmap.Parse([]byte(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Hosts) != 97 || doc.RunStats.Hosts.Total != 97 {
		t.Errorf("%d hosts, %d counted, want 97", len(doc.Hosts), doc.RunStats.Hosts.Total)
	}
	seen := map[int]bool{}
	for _, h := range doc.Hosts {
		for _, p := range h.Ports {
			if want := fmt.Sprintf("10.0.%d.1", p.PortId*7919%97); h.Addresses[0].Addr != want {
				t.Errorf("port %d is at %s, want %s", p.PortId, h.Addresses[0].Addr, want)
			}
			seen[p.PortId] = true
		}
	}
	if len(seen) != 5000 {
		t.Errorf("%d ports, want 5000", len(seen))
	}
}

// readGrepable reads each line as nmap's manual describes it: fields divided by tabs, ports of seven parts that end in a slash.
func readGrepable(t *testing.T, text string) (lines []string) {
	t.Helper()
	host := regexp.MustCompile(`^Host: (\S+) \((.*)\)$`)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		m := host.FindStringSubmatch(fields[0])
		if m == nil || len(fields) != 2 {
			t.Fatalf("cannot read %q", line)
		}
		out := m[1] + " " + m[2]
		if fields[1] == "Status: Up" {
			lines = append(lines, out+" up")
			continue
		}
		ports, ok := strings.CutPrefix(fields[1], "Ports: ")
		for port := range strings.SplitSeq(ports, ", ") {
			parts := strings.Split(port, "/")
			if !ok || len(parts) != 8 || parts[7] != "" {
				t.Fatalf("cannot read %q", line)
			}
			out += " " + strings.Join([]string{parts[0], parts[1], parts[2], parts[6]}, "/")
		}
		lines = append(lines, out)
	}
	return lines
}

// TestGrepable: a line of each kind for a host when the scan is complete, else one for each port.
func TestGrepable(t *testing.T) {
	incomplete := run
	incomplete.Complete = false
	for _, test := range []struct {
		run  record.Run
		want []string
	}{
		{run, []string{
			"192.0.2.1 www.example.net up",
			"192.0.2.1 www.example.net 80/filtered/tcp/ 443/open/tcp/",
			"2001:db8::7  up",
			"2001:db8::7  443/closed/tcp/",
			"198.51.100.7  80/filtered/tcp/",
			"192.0.2.9  up",
			"192.0.2.9  80/open/tcp/window 0|no options",
			"fe80::1%eth0  80/unknown/tcp/",
			"192.0.2.3 a?b? 1/unknown/tcp/x?|y; z",
		}},
		{incomplete, []string{
			"192.0.2.1 www.example.net 80/filtered/tcp/",
			"2001:db8::7  up",
			"2001:db8::7  443/closed/tcp/",
			"192.0.2.1 www.example.net up",
			"192.0.2.1 www.example.net 443/open/tcp/",
			"198.51.100.7  80/filtered/tcp/",
			"192.0.2.9  up",
			"192.0.2.9  80/open/tcp/window 0|no options",
			"fe80::1%eth0  80/unknown/tcp/",
			"192.0.2.3 a?b? 1/unknown/tcp/x?|y; z",
		}},
	} {
		text := read(t, writeAll(t, "x.gnmap", func(s *Set) {
			mustWrite(t, s, records()...)
			mustWrite(t, s, record.Record{Name: "a\tb\n:1", Target: netip.MustParseAddrPort("192.0.2.3:1"), Suspect: "x\n/y, z"})
			finish(t, s, test.run)
		}))
		if got := readGrepable(t, text); !slices.Equal(got, test.want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
		if got := strings.HasPrefix(text, grepableLayout.grouped); got != test.run.Complete || !strings.Contains(text, "\n# no address: no.such:80\n") {
			t.Errorf("it holds\n%s", text)
		}
	}
}

// TestGrepableEnd: also a run of which each target has a verdict may be incomplete.
func TestGrepableEnd(t *testing.T) {
	for complete, want := range map[bool]string{true: " seconds\n", false: " seconds, INCOMPLETE\n"} {
		r := run
		r.Complete = complete
		text := read(t, writeAll(t, "x.gnmap", func(s *Set) { finish(t, s, r) }))
		if !strings.HasSuffix(text, want) {
			t.Errorf("it ends in %q, want %q", text, want)
		}
	}
}

func TestGroupHostsFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 250)+".xml") // the new file's name would be too long
	if _, err := groupHosts(path, &xmlLayout, 1); err == nil {
		t.Error("no error without a file")
	}
	content := "<host endtime=\"1\"><address addr=\"192.0.2.1\"/></host>\n"
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if grouped, err := groupHosts(path, &xmlLayout, 100); err == nil || grouped {
		t.Error("no error")
	}
	if read(t, path) != content {
		t.Error("the file was changed")
	}
	_, s := openSpecs(t, path)
	mustWrite(t, s, records()...)
	err := s.Finish(&run)
	if want := "output " + path + ": its hosts could not be grouped, it is whole otherwise: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	validate(t, read(t, path))
}
