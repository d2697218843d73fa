// Package filter decides which records are shown: by state ([States], the --show flag) and by an expression over the
// record's fields ([Filter], the --filter flag).
//
// # The language
//
//	state = open && port in (80, 443, 8000-8100) && rtt_us < 1000
//	addr in (10.0.0.0/8, 2001:db8::/32) || label ~ ^edge
//	!(suspect || method = connect) && ts >= 2026-11-20T15:00:00Z
//
// A comparison is a field, an operator and a value. Fields are the keys of the JSON line ([record.Field]); a field
// alone asks whether it is present. Comparisons are joined by && and ||, of which && binds tighter, negated by ! and
// grouped by parentheses; and, or, not are the same as words.
//
//	=  !=          every field
//	<  <=  >  >=   numbers, ts
//	in             a value, or a list of values in parentheses; for numbers also ranges a-b, for addresses prefixes
//	~              text: contains the value; begins with what follows when the value starts with ^
//
// A value is a word without spaces or any of =!<>~&|(),"' or a text in single or double quotes, in which a backslash
// takes the next character as it is. Words of state, reason and method are checked when the filter is compiled, so that
// a typing error does not pass for "no match". An address without a zone matches whatever the zone.
//
// A comparison with an absent field is false, whatever the operator, but for !=, which is always the opposite of =.
package filter
