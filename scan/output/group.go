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

// maxGrouped bounds the memory of groupHosts: about 32 bytes a record and the addresses. A larger file keeps a host element a port, which
// most readers take as well; no reader that wants the whole document as a tree would get through it anyway.
const maxGrouped = 1 << 20

// hostLine is where the line of one host element stands.
type hostLine struct {
	host   int // counted by first appearance
	offset int64
	length int
	up     bool
}

// groupHosts rewrites a finished XML file so that each host has one element with all its ports, in the order of their
// first appearance: several readers take the last element of a host for all of it. It relies on the lines that xml
// writes. The new file takes the place of the old one at once or not at all. It leaves a file of more than most records
// as it is, and returns false.
func groupHosts(path string, most int) (bool, error) {
	in, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer in.Close()
	lines, end, err := findHosts(in, most)
	if err != nil || len(lines) > most {
		return false, err
	}
	if lines == nil {
		return true, nil
	}
	err = durable.Replace(path, func(w *bufio.Writer) error { return writeGrouped(w, in, lines, end) }, nil)
	return err == nil, err
}

// findHosts returns the lines of host elements in the order of their groups, and the offset of the first line behind
// them all. It gives up behind the first line more than most.
func findHosts(in io.Reader, most int) (lines []hostLine, end int64, err error) {
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
		if isHost(line) {
			addr := attribute(line, `<address addr="`)
			host, known := hosts[addr]
			if !known {
				host = len(hosts)
				hosts[addr] = host
			}
			lines = append(lines, hostLine{host, offset, len(line), bytes.Contains(line, []byte(`<status state="up"`))})
			end = offset + int64(len(line))
		}
		if offset += int64(len(line)); len(lines) > most {
			return lines, end, nil
		}
	}
	slices.SortStableFunc(lines, func(a, b hostLine) int { return cmp.Compare(a.host, b.host) })
	return lines, end, nil
}

func isHost(line []byte) bool { return bytes.HasPrefix(line, []byte("<host ")) }

// attribute returns what stands behind prefix up to the next quote.
func attribute(line []byte, prefix string) string {
	_, rest, _ := bytes.Cut(line, []byte(prefix))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// writeGrouped copies the head of the document and what else stood among the hosts, then the groups, then the end.
func writeGrouped(w *bufio.Writer, in io.ReaderAt, lines []hostLine, end int64) error {
	if err := copyOthers(w, io.NewSectionReader(in, 0, end)); err != nil {
		return err
	}
	var hosts, up uint64
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].host == lines[0].host {
			n++
		}
		if err := writeHost(w, in, lines[:n]); err != nil {
			return err
		}
		hosts++
		if slices.ContainsFunc(lines[:n], func(l hostLine) bool { return l.up }) {
			up++
		}
		lines = lines[n:]
	}
	return copyEnd(w, io.NewSectionReader(in, end, 1<<62), up, hosts)
}

// copyOthers copies the lines that are no host elements, and says in the comment what was done.
func copyOthers(w *bufio.Writer, in io.Reader) error {
	return eachLine(in, func(line []byte) {
		switch {
		case string(line) == xmlComment:
			w.WriteString(groupedComment)
		case !isHost(line):
			w.Write(line) // a bufio.Writer keeps the error for Flush
		}
	})
}

// groupedComment marks a file whose lines are no longer where a checkpoint knows them.
const groupedComment = "<!-- written by rawshake, grouped by host -->\n"

// isGrouped reports whether groupHosts has been at work.
func isGrouped(in io.ReaderAt) bool {
	head := make([]byte, 1<<10)
	n, _ := in.ReadAt(head, 0)
	return bytes.Contains(head[:n], []byte(groupedComment))
}

// writeHost writes one element from the lines of one host: the head of the first that says that the host is up, the
// ports of all.
func writeHost(w *bufio.Writer, in io.ReaderAt, lines []hostLine) error {
	best := max(slices.IndexFunc(lines, func(l hostLine) bool { return l.up }), 0)
	var head, ports, tail []byte
	for i, l := range lines {
		line := make([]byte, l.length)
		if _, err := in.ReadAt(line, l.offset); err != nil {
			return err
		}
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

// copyEnd copies the end of the document with the hosts counted.
func copyEnd(w *bufio.Writer, in io.Reader, up, hosts uint64) error {
	return eachLine(in, func(line []byte) {
		if bytes.HasPrefix(line, []byte("<hosts ")) {
			line = appendHostCounts(nil, up, hosts-up, hosts)
		}
		w.Write(line)
	})
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
