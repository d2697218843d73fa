package filter

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rawshake/rawshake/match"
	"github.com/rawshake/rawshake/scan/record"
)

// compile builds the predicate of a comparison. For != it is the opposite of that for =.
func (p *parser) compile(f record.Field, op token, values []token) (predicate, error) {
	if op.text == "!=" {
		op.text = "="
		equal, err := p.compile(f, op, values)
		return not(equal), err
	}
	t, err := p.test(f, op, values)
	c := predicate{t, All, All}
	if f == record.FieldState && err == nil {
		c.yes = statesOf(t)
		c.no = All &^ c.yes
	}
	return c, err
}

// statesOf returns the states that pass a test of nothing but the state.
func statesOf(t test) (set States) {
	for s := range match.NumStates {
		if t(&record.Record{State: s}) {
			set |= 1 << s
		}
	}
	return set
}

// test builds the test of a comparison by the kind of its field.
func (p *parser) test(f record.Field, op token, values []token) (test, error) {
	switch f.Kind() {
	case record.KindNumber:
		return p.number(f, op, values)
	case record.KindWord:
		return p.word(f, op, values)
	case record.KindAddress:
		return p.address(f, op, values)
	case record.KindTime:
		return p.instant(f, op, values)
	}
	return p.text(f, op, values)
}

// refuse fails when op is none of the operators that a field takes besides !=.
func (p *parser) refuse(f record.Field, op token, allowed string) error {
	if slices.Contains(strings.Fields(allowed), op.text) {
		return nil
	}
	return p.fail(op, "%v takes != %s, not %v", f, allowed, op)
}

// span is a range of numbers with both ends in it.
type span struct{ low, high float64 }

// number compiles a numeric comparison to spans: every operator but in gives one.
func (p *parser) number(f record.Field, op token, values []token) (test, error) {
	if err := p.refuse(f, op, "= < <= > >= in"); err != nil {
		return nil, err
	}
	if op.text == "in" {
		spans, err := p.spans(f, values)
		return func(r *record.Record) bool {
			n, ok := f.Number(r)
			return ok && slices.ContainsFunc(spans, func(s span) bool { return s.low <= n && n <= s.high })
		}, err
	}
	want, err := strconv.ParseFloat(values[0].text, 64)
	if err != nil || want != want {
		return nil, p.fail(values[0], "%v is a number, %v is none", f, values[0])
	}
	var hold func(n float64) bool
	switch op.text {
	case "=":
		hold = func(n float64) bool { return n == want }
	case "<":
		hold = func(n float64) bool { return n < want }
	case "<=":
		hold = func(n float64) bool { return n <= want }
	case ">":
		hold = func(n float64) bool { return n > want }
	default:
		hold = func(n float64) bool { return n >= want }
	}
	return func(r *record.Record) bool {
		n, ok := f.Number(r)
		return ok && hold(n)
	}, nil
}

func (p *parser) spans(f record.Field, values []token) ([]span, error) {
	var spans []span
	for _, v := range values {
		low, high, isRange := strings.Cut(v.text, "-")
		if !isRange {
			high = low
		}
		a, errLow := strconv.ParseFloat(low, 64)
		b, errHigh := strconv.ParseFloat(high, 64)
		switch {
		case errLow != nil || errHigh != nil || a != a || b != b:
			return nil, p.fail(v, "%v is a number, %v is neither a number nor a range a-b", f, v)
		case a > b:
			return nil, p.fail(v, "the range %v runs backwards", v)
		}
		spans = append(spans, span{a, b})
	}
	return spans, nil
}

// word compiles a comparison with one of the words of state or reason.
func (p *parser) word(f record.Field, op token, values []token) (test, error) {
	if err := p.refuse(f, op, "= in"); err != nil {
		return nil, err
	}
	words := stateWords()
	if f == record.FieldReason {
		words = reasonWords()
	}
	wanted := make([]bool, len(words))
	for _, v := range values {
		i := slices.Index(words, v.text)
		if i < 0 || v.text == "" {
			return nil, p.fail(v, "no %v %v; it is one of %s", f, v, wordList(slices.DeleteFunc(words, isEmpty)))
		}
		wanted[i] = true
	}
	if f == record.FieldReason {
		return func(r *record.Record) bool { return r.Reason < match.NumReasons && wanted[r.Reason] }, nil
	}
	return func(r *record.Record) bool { return r.State < match.NumStates && wanted[r.State] }, nil
}

func isEmpty(s string) bool { return s == "" }

// address compiles a comparison with addresses and, for in, prefixes.
func (p *parser) address(f record.Field, op token, values []token) (test, error) {
	if err := p.refuse(f, op, "= in"); err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	var prefixes []netip.Prefix
	for _, v := range values {
		if a, err := netip.ParseAddr(v.text); err == nil {
			addrs = append(addrs, a.Unmap())
			continue
		}
		prefix, err := netip.ParsePrefix(v.text)
		switch {
		case err != nil:
			return nil, p.fail(v, "%v is an address, %v is neither an address nor a prefix", f, v)
		case op.text != "in":
			return nil, p.fail(op, "%v is a prefix: write %v in %s", v, f, v.text)
		}
		prefixes = append(prefixes, prefix)
	}
	return func(r *record.Record) bool {
		a := f.Address(r)
		bare := a.WithZone("") // a prefix contains no address with a zone
		return slices.Contains(addrs, a) || slices.Contains(addrs, bare) ||
			slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(bare) })
	}, nil
}

// instant compiles a comparison with a time.
func (p *parser) instant(f record.Field, op token, values []token) (test, error) {
	if err := p.refuse(f, op, "= < <= > >="); err != nil {
		return nil, err
	}
	want, err := time.Parse(time.RFC3339, values[0].text)
	if err != nil {
		if want, err = time.Parse(time.DateOnly, values[0].text); err != nil {
			return nil, p.fail(values[0], "%v is a time, %v is none: write 2026-11-20T15:04:05Z or 2026-11-20", f, values[0])
		}
	}
	var accepted [3]bool // by the sign of the comparison, plus one
	accepted[0] = op.text[0] == '<'
	accepted[1] = strings.HasSuffix(op.text, "=")
	accepted[2] = op.text[0] == '>'
	return func(r *record.Record) bool { return f.Present(r) && accepted[r.Time.Compare(want)+1] }, nil
}

// text compiles a comparison with free text.
func (p *parser) text(f record.Field, op token, values []token) (test, error) {
	if err := p.refuse(f, op, "= in ~"); err != nil {
		return nil, err
	}
	t := textTest{op: op.text}
	for _, v := range values {
		if f == record.FieldMethod && op.text != "~" && v.text != "raw" && v.text != "connect" {
			return nil, p.fail(v, "no method %v; it is one of raw, connect", v)
		}
		t.values = append(t.values, []byte(v.text))
	}
	if op.text == "~" && bytes.HasPrefix(t.values[0], []byte("^")) {
		t.op, t.values[0] = "^", t.values[0][1:]
	}
	return func(r *record.Record) bool {
		var buf [128]byte // a target is put together here; it stays on the stack because no call below is dynamic
		value := f.Append(buf[:0], r)
		return len(value) > 0 && t.hold(value)
	}, nil
}

// textTest is a comparison of text: = and in by the values, ~ and ^ by the first.
type textTest struct {
	op     string
	values [][]byte
}

func (t *textTest) hold(value []byte) bool {
	switch t.op {
	case "~":
		return bytes.Contains(value, t.values[0])
	case "^":
		return bytes.HasPrefix(value, t.values[0])
	}
	for _, want := range t.values {
		if bytes.Equal(value, want) {
			return true
		}
	}
	return false
}
