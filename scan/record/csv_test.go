package record

import (
	"bytes"
	"encoding/csv"
	"reflect"
	"strings"
	"testing"
)

func TestCSV(t *testing.T) {
	const header = "ts,target,addr,port,state,reason,rtt_us,attempt,ttl,window,mss,options,src,method,icmp_type,icmp_code,responder,mtu,error,suspect,label\n"
	if got := string(AppendCSVHeader(nil, AllFields())); got != header {
		t.Errorf("header is %s", got)
	}
	r := samples[0].r
	r.Label = `say "hi", you`
	want := `2026-11-20T15:16:50.123456789Z,www.example.net:443,192.0.2.1,443,open,syn-ack,412.7,1,57,64240,1460,` +
		`"mss,sackok,ts,nop,ws",192.0.2.10:40123,raw,,,,,,,"say ""hi"", you"` + "\n"
	if got := string(r.AppendCSV(nil, AllFields())); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	want = "open,443,192.0.2.1\n"
	if got := string(r.AppendCSV(nil, []Field{FieldState, FieldPort, FieldAddr})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCSVOneColumn: a reader finds a row for each record also where the only field is absent.
func TestCSVOneColumn(t *testing.T) {
	fields := []Field{FieldLabel}
	text := AppendCSVHeader(nil, fields)
	for _, label := range []string{"", "edge", ""} {
		text = (&Record{Label: label}).AppendCSV(text, fields)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if want := [][]string{{"label"}, {""}, {"edge"}, {""}}; err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%q is read as %q, %v", text, rows, err)
	}
}

// FuzzCSV reads back what was written, with the standard library as the judge.
func FuzzCSV(f *testing.F) {
	f.Add("a,b", `"`, " x")
	f.Add("\r\n", "\n", "\u00a0")
	f.Fuzz(func(t *testing.T, name, label, suspect string) {
		r := Record{Name: name, Label: label, Suspect: suspect}
		fields := []Field{FieldState, FieldTarget, FieldLabel, FieldSuspect}
		lines, err := csv.NewReader(bytes.NewReader(r.AppendCSV(nil, fields))).ReadAll()
		if err != nil || len(lines) != 1 {
			t.Fatalf("%q: %v", lines, err)
		}
		var want []string
		for _, s := range []string{"unsent", name, label, suspect} {
			want = append(want, strings.ReplaceAll(s, "\r\n", "\n")) // encoding/csv does that to quoted values
		}
		if !reflect.DeepEqual(lines[0], want) {
			t.Errorf("read back %q, want %q", lines[0], want)
		}
	})
}
