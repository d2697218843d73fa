package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// node is an expression as a tree, with a meaning of its own: it is judged on the record's JSON line, not on the record.
type node interface {
	String() string
	eval(line map[string]any) bool
}

type (
	both       struct{ a, b node }
	either     struct{ a, b node }
	opposite   struct{ a node }
	present    struct{ field string }
	comparison struct {
		field, op, value string
	}
)

func (n both) String() string     { return "(" + n.a.String() + "&&" + n.b.String() + ")" }
func (n either) String() string   { return "( " + n.a.String() + " || " + n.b.String() + " )" }
func (n opposite) String() string { return "!(" + n.a.String() + ")" }
func (n present) String() string  { return n.field }
func (n comparison) String() string {
	return fmt.Sprintf("%s %s %q", n.field, n.op, n.value)
}

func (n both) eval(line map[string]any) bool     { return n.a.eval(line) && n.b.eval(line) }
func (n either) eval(line map[string]any) bool   { return n.a.eval(line) || n.b.eval(line) }
func (n opposite) eval(line map[string]any) bool { return !n.a.eval(line) }
func (n present) eval(line map[string]any) bool  { return line[n.field] != nil }

func (n comparison) eval(line map[string]any) bool {
	v, ok := line[n.field]
	switch {
	case n.op == "!=":
		return !comparison{n.field, "=", n.value}.eval(line)
	case !ok:
		return false
	case n.op == "in": // only with prefixes here
		return netip.MustParsePrefix(n.value).Contains(netip.MustParseAddr(v.(string)).WithZone(""))
	case n.op == "~":
		return strings.Contains(v.(string), n.value)
	}
	if x, ok := v.(float64); ok {
		var want float64
		fmt.Sscan(n.value, &want)
		return map[string]bool{"=": x == want, "<": x < want, "<=": x <= want, ">": x > want, ">=": x >= want}[n.op]
	}
	return v.(string) == n.value
}

func randomNode(r *rand.Rand, depth int) node {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	if depth > 0 && r.IntN(3) > 0 {
		switch r.IntN(3) {
		case 0:
			return both{randomNode(r, depth-1), randomNode(r, depth-1)}
		case 1:
			return either{randomNode(r, depth-1), randomNode(r, depth-1)}
		}
		return opposite{randomNode(r, depth-1)}
	}
	switch r.IntN(6) {
	case 0:
		return present{pick("label", "window", "responder", "ts", "src", "rtt_us")}
	case 1:
		return comparison{"state", pick("=", "!="), pick("open", "filtered", "unreachable", "unsent", "closed")}
	case 2:
		return comparison{"reason", pick("=", "!="), pick("syn-ack", "timeout", "host-unreachable")}
	case 3:
		return comparison{pick("port", "rtt_us", "attempt", "ttl", "window", "icmp_code"), pick("=", "!=", "<", "<=", ">", ">="),
			pick("0", "1", "3", "22", "57", "80", "412.7", "443")}
	case 4:
		return comparison{pick("target", "label", "options", "suspect"), pick("=", "!=", "~"),
			pick("www.example.net:80", "10.1.2.3:443", "e", `"`, "window 0", ":", "fe80")}
	}
	return comparison{pick("addr", "responder"), "in", pick("10.0.0.0/8", "2001:db8::/32", "fe80::/10", "0.0.0.0/0", "::/0")}
}

// TestModel compares thousands of random expressions with their meaning on the JSON lines.
func TestModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var lines []map[string]any
	for _, r := range records {
		var line map[string]any
		if err := json.Unmarshal(r.AppendJSON(nil), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	matched := 0
	const rounds = 5000
	for range rounds {
		n := randomNode(random, 4)
		f, err := Compile(n.String())
		if err != nil {
			t.Fatalf("%v: %v", n, err)
		}
		for i, r := range records {
			if got, want := f.Match(r), n.eval(lines[i]); got != want {
				t.Fatalf("%v on record %d: %v, want %v", n, i, got, want)
			} else if got {
				matched++
				if !f.States().Has(r.State) {
					t.Fatalf("%v matches record %d, and States has no %v", n, i, r.State)
				}
			}
		}
	}
	if matched < rounds/2 || matched > rounds*len(records)-rounds/2 {
		t.Errorf("%d matches: the expressions tell nothing apart", matched)
	}
}

// FuzzCompile: no input panics, an error points into the expression, and what compiles matches the same when a pair of
// parentheses or a double negation is put around it.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"state = open && port in (80,443) && rtt_us < 1000", "!(addr in 10.0.0.0/8 || label ~ ^edge)", `label = "a\"b"`, "ts > 2026-11-20",
		"((", "port in (1-2,", "&", "\xff", "in in in",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		compiled, err := Compile(expr)
		var e *Error
		if errors.As(err, &e) {
			if e.Offset < 0 || e.Offset > len(expr) || !strings.Contains(e.Error(), "^") {
				t.Errorf("%q: offset %d: %v", expr, e.Offset, e)
			}
			return
		}
		if compiled.String() == "" {
			return // matches all
		}
		for _, form := range []string{"(%s)", "!!(%s)"} {
			again, err := Compile(fmt.Sprintf(form, expr))
			if errors.As(err, &e) && strings.Contains(e.Msg, "nested deeper") {
				continue
			}
			if err != nil {
				t.Fatalf(form+": %v", expr, err)
			}
			for _, r := range records {
				if compiled.Match(r) != again.Match(r) {
					t.Errorf("%q and %q differ", expr, again)
				}
			}
		}
	})
}
