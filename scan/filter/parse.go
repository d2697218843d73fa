package filter

import (
	"fmt"
	"slices"

	"github.com/rawshake/rawshake/scan/record"
)

// parser reads an expression by recursive descent and builds its predicates on the way.
type parser struct {
	expr   string
	tokens []token
	next   int
	depth  int
}

// maxDepth bounds the nesting, and with it the stack that a hostile expression can take.
const maxDepth = 100

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != end {
		p.next++
	}
	return t
}

// words are other names of operators. They are no fields, so that they are values only where a value stands.
var words = map[string]string{"and": "&&", "or": "||", "not": "!"}

// accept takes the next token when it is the operator op.
func (p *parser) accept(op string) bool {
	if t := p.peek(); (t.kind != operator || t.text != op) && (t.kind != word || words[t.text] != op) {
		return false
	}
	p.next++
	return true
}

func (p *parser) fail(at token, format string, args ...any) error {
	return &Error{Expr: p.expr, Offset: at.offset, Msg: fmt.Sprintf(format, args...)}
}

// or reads "a || b || c".
func (p *parser) or() (predicate, error) {
	left, err := p.and()
	for err == nil && p.accept("||") {
		var right predicate
		right, err = p.and()
		a, b := left.match, right.match
		left = predicate{func(r *record.Record) bool { return a(r) || b(r) }, left.yes | right.yes, left.no & right.no}
	}
	return left, err
}

// and reads "a && b && c".
func (p *parser) and() (predicate, error) {
	left, err := p.unary()
	for err == nil && p.accept("&&") {
		var right predicate
		right, err = p.unary()
		a, b := left.match, right.match
		left = predicate{func(r *record.Record) bool { return a(r) && b(r) }, left.yes & right.yes, left.no | right.no}
	}
	return left, err
}

// unary reads "!a", "(a)" or a comparison.
func (p *parser) unary() (predicate, error) {
	if p.depth++; p.depth > maxDepth {
		return predicate{}, p.fail(p.peek(), "nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.accept("!"):
		inner, err := p.unary()
		return not(inner), err
	case p.accept("("):
		inner, err := p.or()
		if err == nil && !p.accept(")") {
			err = p.fail(p.peek(), "expected ) here, not %v", p.peek())
		}
		return inner, err
	}
	return p.comparison()
}

func not(inner predicate) predicate {
	return predicate{func(r *record.Record) bool { return !inner.match(r) }, inner.no, inner.yes}
}

// comparison reads "field", "field op value" or "field in (value, value)".
func (p *parser) comparison() (predicate, error) {
	name := p.take()
	if name.kind != word {
		return predicate{}, p.fail(name, "expected a field here, not %v", name)
	}
	f, ok := record.ParseField(name.text)
	if !ok {
		return predicate{}, p.fail(name, "no field %v; the fields are %s", name, wordList(record.FieldNames()))
	}
	op := p.peek()
	switch {
	case op.kind == word && op.text == "in":
		p.take()
		values, err := p.list()
		if err != nil {
			return predicate{}, err
		}
		return p.compile(f, op, values)
	case op.kind == operator && slices.Contains(comparisons, op.text):
		p.take()
		value, err := p.value()
		if err != nil {
			return predicate{}, err
		}
		return p.compile(f, op, []token{value})
	case op.kind == word && words[op.text] == "", op.kind == text:
		return predicate{}, p.fail(op, "expected an operator here, not %v: one of = != < <= > >= ~ in && ||", op)
	}
	return predicate{f.Present, All, All}, nil
}

var comparisons = []string{"=", "!=", "<", "<=", ">", ">=", "~"}

// list reads "value" or "(value, value)".
func (p *parser) list() ([]token, error) {
	parenthesis := p.accept("(")
	var values []token
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if !parenthesis || p.accept(")") {
			return values, nil
		}
		if !p.accept(",") {
			return nil, p.fail(p.peek(), "expected , or ) here, not %v", p.peek())
		}
	}
}

func (p *parser) value() (token, error) {
	v := p.take()
	if v.kind != word && v.kind != text {
		return v, p.fail(v, "expected a value here, not %v", v)
	}
	return v, nil
}
