package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const (
		pass = `{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.5}
`
		skip = `{"Action":"output","Package":"p","Test":"TestB","Output":"no mood\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
`
		seed = `{"Action":"skip","Package":"p","Test":"FuzzC/seed#0"}
`
		fail = `{"Action":"output","Package":"p","Test":"TestD","Output":"broken\n"}
{"Action":"fail","Package":"p","Test":"TestD"}
`
		build = `{"ImportPath":"p","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`
	)
	for _, c := range []struct {
		name, in        string
		require, failed bool
		shows, hides    string
	}{
		{"pass", pass, true, false, "ok   p 1.5 s", "chatter"},
		{"skip", pass + skip, false, false, "no mood", "chatter"},
		{"skip where it counts", pass + skip, true, true, "no mood", "chatter"},
		{"a seed", seed, true, false, "", "FuzzC"},
		{"fail", pass + fail, false, true, "broken", "chatter"},
		{"build", build, false, true, "undefined: x", "ok"},
		{"not JSON", "go: no such package\n" + pass, false, false, "no such package", "chatter"},
	} {
		var out strings.Builder
		r := &report{out: &out, output: map[string]string{}}
		if err := r.read(strings.NewReader(c.in)); err != nil {
			t.Fatal(err)
		}
		failed := r.summary(c.require)
		if failed != c.failed || !strings.Contains(out.String(), c.shows) || strings.Contains(out.String(), c.hides) {
			t.Errorf("%s: failed %t, output %q", c.name, failed, out.String())
		}
	}
}
