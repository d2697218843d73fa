package filter

import "github.com/rawshake/rawshake/scan/record"

// Filter is a compiled expression. The zero Filter matches every record. It is immutable and safe for concurrent use.
type Filter struct {
	expr  string
	match predicate // nil matches all
}

// predicate is a compiled part of an expression.
type predicate func(*record.Record) bool

// Compile reads an expression. An empty one, spaces apart, matches every record. The error is an *[Error].
func Compile(expr string) (Filter, error) {
	p := parser{expr: expr}
	if err := p.lex(); err != nil {
		return Filter{}, err
	}
	if p.peek().kind == end {
		return Filter{}, nil
	}
	match, err := p.or()
	if err == nil && p.peek().kind != end {
		err = p.fail(p.peek(), "expected && or || here")
	}
	if err != nil {
		return Filter{}, err
	}
	return Filter{expr: expr, match: match}, nil
}

// Match reports whether the record passes. It allocates nothing.
func (f Filter) Match(r *record.Record) bool { return f.match == nil || f.match(r) }

// String returns the expression.
func (f Filter) String() string { return f.expr }
