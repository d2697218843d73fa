package record

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseFields(t *testing.T) {
	for _, test := range []struct {
		list string
		want []Field
		err  string
	}{
		{"", AllFields(), ""},
		{" addr , port,rtt_us", []Field{FieldAddr, FieldPort, FieldRTT}, ""},
		{"addr,prt", nil, `--fields: no field "prt"; the fields are ts,target,addr,port,`},
		{"addr,", nil, `--fields: no field ""`},
		{"port,addr,port", nil, "--fields: port is named twice"},
	} {
		got, err := ParseFields(test.list)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %v, want %v", test.list, got, test.want)
		}
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: error %v, want %q", test.list, err, test.err)
		}
	}
}

func TestFieldAccess(t *testing.T) {
	r := samples[3].r // fragmentation needed
	for f, want := range map[Field]float64{
		FieldPort: 22, FieldRTT: 0.999, FieldAttempt: 0, FieldTTL: 250, FieldICMPType: 3, FieldICMPCode: 4, FieldMTU: 576,
	} {
		if got, ok := f.Number(&r); !ok || got != want {
			t.Errorf("%v = %v %v, want %v", f, got, ok, want)
		}
	}
	for _, f := range []Field{FieldWindow, FieldMSS} {
		if got, ok := f.Number(&r); ok {
			t.Errorf("%v = %v, want it absent", f, got)
		}
	}
	if got := FieldResponder.Address(&r).String(); got != "203.0.113.1" {
		t.Errorf("responder = %s", got)
	}
	if got := FieldResponder.Address(&samples[0].r); got.IsValid() {
		t.Errorf("a SYN-ACK has the responder %s", got)
	}
	for f := range NumFields {
		if back, ok := ParseField(f.String()); !ok || back != f {
			t.Errorf("ParseField(%v) = %v %v", f, back, ok)
		}
	}
}
