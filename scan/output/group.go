package output

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"os"
	"slices"

	"github.com/rawshake/rawshake/scan/internal/durable"
)

// maxGrouped bounds the memory of groupHosts: about 32 bytes a record and the addresses. A larger file keeps an element or line a port,
// which most readers take as well; no reader that wants the whole document as a tree would get through it anyway.
const maxGrouped = 1 << 20

// layout is how a format of nmap's writes hosts, for groupHosts.
type layout struct {
	ungrouped, grouped string // a line that says which of the two the file is; the other takes its place

	// host reads the line of a host's port. A line that is mere is not kept: it follows from those of the ports.
	host func(line []byte) (addr string, up, mere, ok bool)
	// write writes a host by the lines of its ports; best is one that says that the host is up, if one does.
	write func(w *bufio.Writer, lines [][]byte, best int, up bool) error
	// behind rewrites a line behind the hosts, now that they are counted.
	behind func(line []byte, up, hosts uint64) []byte
}

// layouts are those of the formats in which a host should be in one place.
var layouts = map[Format]*layout{XML: &xmlLayout, Grepable: &grepableLayout}

// hostLine is where the line of a host's port stands.
type hostLine struct {
	host   int // counted by first appearance
	offset int64
	length int
	up     bool
}

// groupHosts rewrites a finished file so that each host is in one place with all its ports, in the order of their first appearance:
// readers of nmap's formats expect that. It relies on the lines that our encoders write. The new file takes the place of the old one at
// once or not at all. It leaves a file of more than most records as it is, and returns false.
func groupHosts(path string, l *layout, most int) (bool, error) {
	in, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer in.Close()
	lines, end, err := l.findHosts(in, most)
	if err != nil || len(lines) > most {
		return false, err
	}
	if lines == nil {
		return true, nil
	}
	err = durable.Replace(path, func(w *bufio.Writer) error { return l.writeGrouped(w, in, lines, end) }, nil)
	return err == nil, err
}

// findHosts returns the lines of hosts in the order of their groups, and the offset of the first line behind them all. It gives up behind
// the first line more than most.
func (l *layout) findHosts(in io.Reader, most int) (lines []hostLine, end int64, err error) {
	hosts := map[string]int{}
	r := bufio.NewReaderSize(in, chunkSize)
	for offset := int64(0); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if addr, up, mere, ok := l.host(line); ok && !mere {
			host, known := hosts[addr]
			if !known {
				host = len(hosts)
				hosts[addr] = host
			}
			lines = append(lines, hostLine{host, offset, len(line), up})
			end = offset + int64(len(line))
		}
		if offset += int64(len(line)); len(lines) > most {
			return lines, end, nil
		}
	}
	slices.SortStableFunc(lines, func(a, b hostLine) int { return cmp.Compare(a.host, b.host) })
	return lines, end, nil
}

// writeGrouped copies the head of the document and what else stood among the hosts, then the groups, then the end.
func (l *layout) writeGrouped(w *bufio.Writer, in io.ReaderAt, lines []hostLine, end int64) error {
	if err := l.copyOthers(w, io.NewSectionReader(in, 0, end)); err != nil {
		return err
	}
	var hosts, up uint64
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].host == lines[0].host {
			n++
		}
		best := slices.IndexFunc(lines[:n], func(l hostLine) bool { return l.up })
		if err := l.writeHost(w, in, lines[:n], best); err != nil {
			return err
		}
		hosts++
		if best >= 0 {
			up++
		}
		lines = lines[n:]
	}
	return eachLine(io.NewSectionReader(in, end, 1<<62), func(line []byte) { w.Write(l.behind(line, up, hosts)) })
}

// copyOthers copies the lines that are of no host, and says in the comment what was done.
func (l *layout) copyOthers(w *bufio.Writer, in io.Reader) error {
	return eachLine(in, func(line []byte) {
		if string(line) == l.ungrouped {
			w.WriteString(l.grouped)
		} else if _, _, _, ok := l.host(line); !ok {
			w.Write(line) // a bufio.Writer keeps the error for Flush
		}
	})
}

// writeHost writes one host from its lines, of which best says that it is up; below 0, none does.
func (l *layout) writeHost(w *bufio.Writer, in io.ReaderAt, lines []hostLine, best int) error {
	texts := make([][]byte, len(lines))
	for i, line := range lines {
		texts[i] = make([]byte, line.length)
		if _, err := in.ReadAt(texts[i], line.offset); err != nil {
			return err
		}
	}
	return l.write(w, texts, max(best, 0), best >= 0)
}

// isGrouped reports whether groupHosts has been at work: the lines are no longer where a checkpoint knows them.
func isGrouped(in io.ReaderAt, f Format) bool {
	l := layouts[f]
	if l == nil {
		return false
	}
	head := make([]byte, 1<<10) // the line is among the first
	n, _ := in.ReadAt(head, 0)
	return bytes.Contains(head[:n], []byte(l.grouped))
}

// eachLine calls f with every line, its line feed included.
func eachLine(in io.Reader, f func(line []byte)) error {
	r := bufio.NewReaderSize(in, chunkSize)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			f(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
