package filter

import (
	"strconv"
	"strings"
)

type kind uint8

const (
	end kind = iota
	word
	text     // in quotes
	operator // = != < <= > >= ~ && || ! ( ) ,
)

// token is one word of the expression. Text is what it says, without quotes; offset is where it begins.
type token struct {
	kind   kind
	text   string
	offset int
}

// String names the token for a message.
func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return strconv.Quote(t.text)
}

const spaces = " \t\r\n"

// operators in the order in which they are tried: the longer first. "==" is read as "=".
var operators = []string{"&&", "||", "!=", "<=", ">=", "==", "=", "<", ">", "~", "!", "(", ")", ","}

// lex cuts the expression into tokens; the last has kind end.
func (p *parser) lex() error {
	for at := 0; ; {
		at += len(p.expr[at:]) - len(strings.TrimLeft(p.expr[at:], spaces))
		t, n, err := p.lexOne(at)
		if err != nil {
			return err
		}
		p.tokens = append(p.tokens, t)
		if t.kind == end {
			return nil
		}
		at += n
	}
}

// lexOne reads the token at offset at and returns its length in the expression.
func (p *parser) lexOne(at int) (token, int, error) {
	rest := p.expr[at:]
	if rest == "" {
		return token{offset: at}, 0, nil
	}
	if rest[0] == '"' || rest[0] == '\'' {
		return p.lexQuoted(at)
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			return token{operator, strings.Replace(op, "==", "=", 1), at}, len(op), nil
		}
	}
	n := strings.IndexAny(rest, spaces+"=!<>~&|(),\"'")
	if n < 0 {
		n = len(rest)
	}
	if n == 0 { // a single & or |
		return token{}, 0, p.fail(token{offset: at}, "expected %s%s", rest[:1], rest[:1])
	}
	return token{word, rest[:n], at}, n, nil
}

// lexQuoted reads a text in quotes; a backslash takes the next byte as it is.
func (p *parser) lexQuoted(at int) (token, int, error) {
	rest := p.expr[at:]
	var value strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == rest[0]:
			return token{text, value.String(), at}, i + 1, nil
		case c == '\\' && i+1 < len(rest):
			i++
			value.WriteByte(rest[i])
		default:
			value.WriteByte(c)
		}
	}
	return token{}, 0, p.fail(token{offset: at}, "the quote is not closed")
}
