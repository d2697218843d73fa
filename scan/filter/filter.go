package filter

import "github.com/rawshake/rawshake/scan/record"

// Filter is a compiled expression. The zero Filter matches every record. It is immutable and safe for concurrent use.
type Filter struct {
	expr string
	predicate
}

// test is a compiled comparison.
type test func(*record.Record) bool

// predicate is a compiled part of an expression.
type predicate struct {
	match   test   // nil matches all
	yes, no States // in which states it may hold, and in which it may not
}

// Compile reads an expression. An empty one, spaces apart, matches every record. The error is an *[Error].
func Compile(expr string) (Filter, error) {
	p := parser{expr: expr}
	if err := p.lex(); err != nil {
		return Filter{}, err
	}
	if p.peek().kind == end {
		return Filter{}, nil
	}
	whole, err := p.or()
	if err == nil && p.peek().kind != end {
		err = p.fail(p.peek(), "expected && or || here")
	}
	if err != nil {
		return Filter{}, err
	}
	return Filter{expr: expr, predicate: whole}, nil
}

// Match reports whether the record passes. It allocates nothing.
func (f Filter) Match(r *record.Record) bool { return f.match == nil || f.match(r) }

// States returns the states that a record may have to pass: with any other it does not, whatever its other fields say.
func (f Filter) States() States {
	if f.match == nil {
		return All
	}
	return f.yes
}

// String returns the expression.
func (f Filter) String() string { return f.expr }
