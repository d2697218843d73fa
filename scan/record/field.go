package record

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field names one column of a [Record]: a key of the JSON line, a column of the CSV file, a word of the filter
// language. The constants stand in the documented order, which is that of the JSON keys.
type Field uint8

// The fields of a record.
const (
	FieldTime      Field = iota // ts: RFC 3339 in UTC with nine digits
	FieldTarget                 // target: as the user wrote it, else addr:port
	FieldAddr                   // addr: the address that was asked
	FieldPort                   // port
	FieldState                  // state: open, closed, unreachable, filtered, unsent
	FieldReason                 // reason: syn-ack, rst, timeout, net-unreachable, ...
	FieldRTT                    // rtt_us: microseconds, up to three decimals
	FieldAttempt                // attempt: from 0
	FieldTTL                    // ttl: of the packet that answered
	FieldWindow                 // window: of the segment that answered
	FieldMSS                    // mss: of the SYN-ACK
	FieldOptions                // options: kinds of the SYN-ACK's TCP options in wire order
	FieldSource                 // src: our address and port
	FieldMethod                 // method: raw, connect
	FieldICMPType               // icmp_type
	FieldICMPCode               // icmp_code
	FieldResponder              // responder: who sent the ICMP error
	FieldMTU                    // mtu: of fragmentation needed, packet too big
	FieldError                  // error: the system's words
	FieldSuspect                // suspect: why the answer is doubtful
	FieldLabel                  // label: the user's own words

	NumFields // the number of fields, for arrays indexed by Field
)

var fieldNames = [NumFields]string{
	"ts", "target", "addr", "port", "state", "reason", "rtt_us", "attempt", "ttl", "window", "mss", "options", "src",
	"method", "icmp_type", "icmp_code", "responder", "mtu", "error", "suspect", "label",
}

// String returns the key: "rtt_us".
func (f Field) String() string { return fieldNames[f] }

// ParseField is the inverse of [Field.String].
func ParseField(name string) (Field, bool) {
	i := slices.Index(fieldNames[:], name)
	return Field(max(i, 0)), i >= 0
}

// FieldNames lists every key in the documented order, for messages and completion.
func FieldNames() []string { return slices.Clone(fieldNames[:]) }

// AllFields lists every field in the documented order.
func AllFields() []Field {
	all := make([]Field, NumFields)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// ParseFields reads the value of --fields: "addr,port,state". If empty, all fields in the documented order.
func ParseFields(list string) ([]Field, error) {
	if strings.TrimSpace(list) == "" {
		return AllFields(), nil
	}
	var fields []Field
	for name := range strings.SplitSeq(list, ",") {
		f, ok := ParseField(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("--fields: no field %q; the fields are %s", name, strings.Join(fieldNames[:], ","))
		}
		if slices.Contains(fields, f) {
			return nil, fmt.Errorf("--fields: %s is named twice", f)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// Kind is the type of a field's values.
type Kind uint8

// The kinds of fields.
const (
	KindNumber  Kind = iota // [Field.Number] has it
	KindWord                // one of a few words, never in need of escaping
	KindText                // free text, possibly hostile
	KindAddress             // [Field.Address] has it; for src without the port
	KindTime                // Record.Time
)

var fieldKinds = [NumFields]Kind{
	FieldTime: KindTime, FieldTarget: KindText, FieldAddr: KindAddress, FieldState: KindWord, FieldReason: KindWord, FieldOptions: KindText, FieldSource: KindAddress,
	FieldMethod: KindText, FieldResponder: KindAddress, FieldError: KindText, FieldSuspect: KindText, FieldLabel: KindText,
}

// Kind says which values the field has.
func (f Field) Kind() Kind { return fieldKinds[f] }

// Present reports whether the field applies to the record.
func (f Field) Present(r *Record) bool { return r.present().has(f) }

// Append appends the bare value of f, unquoted and unescaped, and nothing when the field is absent.
func (f Field) Append(dst []byte, r *Record) []byte {
	if !f.Present(r) {
		return dst
	}
	return f.append(dst, r)
}

// append is Append for a field that is present.
func (f Field) append(dst []byte, r *Record) []byte {
	switch f {
	case FieldTime:
		return appendTime(dst, r.Time)
	case FieldTarget:
		if r.Name != "" {
			return append(dst, r.Name...)
		}
		return r.Target.AppendTo(dst)
	case FieldAddr, FieldResponder:
		return f.address(r).AppendTo(dst)
	case FieldSource:
		return r.Source.AppendTo(dst)
	case FieldRTT:
		return appendMicros(dst, r.RTT)
	}
	if f.Kind() == KindNumber {
		return strconv.AppendUint(dst, f.integer(r), 10)
	}
	return append(dst, f.text(r)...)
}

// Number returns the value of a field of kind [KindNumber] and whether it is present.
func (f Field) Number(r *Record) (float64, bool) {
	if !f.Present(r) {
		return 0, false
	}
	if f == FieldRTT {
		return float64(r.RTT) / 1e3, true
	}
	return float64(f.integer(r)), true
}

// Address returns the value of a field of kind [KindAddress]; it is invalid when absent.
func (f Field) Address(r *Record) netip.Addr {
	if !f.Present(r) {
		return netip.Addr{}
	}
	return f.address(r)
}

// integer returns the value of a field that counts.
func (f Field) integer(r *Record) uint64 {
	switch f {
	case FieldPort:
		return uint64(r.Target.Port())
	case FieldAttempt:
		return uint64(max(r.Attempt, 0))
	case FieldTTL:
		return uint64(r.TTL)
	case FieldWindow:
		return uint64(r.Window)
	case FieldMSS:
		return uint64(r.MSS)
	case FieldICMPType:
		return uint64(r.ICMPType)
	case FieldICMPCode:
		return uint64(r.ICMPCode)
	}
	return uint64(r.MTU)
}

// text returns the value of a field that is a word or a string of the record's.
func (f Field) text(r *Record) string {
	switch f {
	case FieldState:
		return r.State.String()
	case FieldReason:
		return r.Reason.String()
	case FieldOptions:
		return r.Options
	case FieldMethod:
		return r.Method
	case FieldError:
		return r.Err
	case FieldSuspect:
		return r.Suspect
	}
	return r.Label
}

func (f Field) address(r *Record) netip.Addr {
	switch f {
	case FieldAddr:
		return r.Target.Addr()
	case FieldSource:
		return r.Source.Addr()
	}
	return r.Responder
}

// appendMicros appends d, which is above zero, in microseconds without trailing zeros: "412.7".
func appendMicros(dst []byte, d time.Duration) []byte {
	dst = strconv.AppendInt(dst, int64(d/1e3), 10)
	if frac := int(d % 1e3); frac > 0 {
		dst = append(dst, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}
