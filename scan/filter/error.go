package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with an expression and where.
type Error struct {
	Expr   string
	Offset int // in bytes
	Msg    string
}

// Column returns the place in characters, from 1.
func (e *Error) Column() int { return utf8.RuneCountInString(e.Expr[:e.Offset]) + 1 }

// Error returns three lines: what is wrong, the expression, and a caret under the place.
func (e *Error) Error() string {
	line := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' ' // a line feed in the expression would part it from its caret
		}
		return r
	}, e.Expr)
	return fmt.Sprintf("--filter: column %d: %s\n    %s\n    %*s", e.Column(), e.Msg, line, e.Column(), "^")
}
