package checkpoint

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake/scan/output"
	"github.com/rawshake/rawshake/scan/record"
	"github.com/rawshake/rawshake/scan/target"
)

func sample() *Checkpoint {
	return &Checkpoint{
		Tool: "rawshake 0.1.0", Time: time.Date(2026, 11, 20, 15, 16, 50, 1, time.UTC), Started: time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC),
		Options: Options{"rate": {"10k"}, "ports": {"80", "443"}}, Args: []string{"10.0.0.0/8", "<x&y>"},
		Pins: map[string][]netip.Addr{"www.example.net": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0")}},
		Hash: "abc",
		Lanes: []Lane{
			{Position: 1 << 47, Pending: target.Numbers{7, 1 << 46}},
			{Position: 0, Pending: target.Numbers{}},
		},
		Run:     record.Run{Targets: 1 << 40, ProbesSent: 7, SendTime: 3 * time.Second, Open: 1, Seed: 1<<63 + 1, Shard: "1/2"},
		More:    map[string]uint64{"requeued": 3},
		Outputs: []output.Length{{Path: "a.jsonl", Bytes: 123}, {Path: "-", Bytes: -1}},
	}
}

// encode returns the content of a file.
func encode(c *Checkpoint) ([]byte, error) {
	var b bytes.Buffer
	err := write(&b, c)
	return b.Bytes(), err
}

// TestLoadTorn: no proper beginning of the file is taken for the whole, and no changed byte goes unnoticed.
func TestLoadTorn(t *testing.T) {
	content, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(content) - 1 { // the last byte is the line feed
		if _, err := decode(content[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken", n, len(content))
		}
	}
	for i := range content[:len(content)-1] {
		changed := append([]byte(nil), content...)
		changed[i] ^= 1
		if c, err := decode(changed); err == nil && !reflect.DeepEqual(c.Lanes[0], sample().Lanes[0]) {
			t.Fatalf("byte %d (%q) can be changed", i, content[i])
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	content, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	good := string(content)
	for _, test := range []struct{ name, content, want string }{
		{"empty", "", "it is empty: the scan was killed before it began; start it anew"},
		{"an output", "{\"v\":1,\"type\":\"result\"}\n{\"v\":1}\n", "it is torn, or no checkpoint"},
		{"one line of an output", "{\"v\":1,\"type\":\"result\"}\n", "it has version 0 and this program reads version 1"},
		{"newer", strings.Replace(good, `"version":1`, `"version":2`, 1), "it has version 2 and this program reads version 1: resume with the program that wrote it"},
		{"edited", strings.Replace(good, `"10k"`, `"90k"`, 1), "its checksum is wrong: it is torn or was edited"},
		{"no content", `{"version":1,"sha256":""}`, "it has no content"},
		{"null", `{"version":1,"sha256":"` + checksum([]byte("7")) + `","checkpoint":7}`, "its content cannot be read"},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.HasPrefix(err.Error(), "checkpoint "+path+": "+test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	path := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxSize+1); err != nil { // a hole: takes no disk
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "give --resume the checkpoint, not an output") {
		t.Errorf("huge: %v", err)
	}
}

// TestLoadIndented: a person may have looked at it with a formatter.
func TestLoadIndented(t *testing.T) {
	content, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	indented := strings.ReplaceAll(string(content), `,"`, ",\n  \"")
	if _, err := decode([]byte(indented)); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	c := sample()
	if err := c.Check("abc"); err != nil {
		t.Error(err)
	}
	if err := c.Check("abd"); err == nil || !strings.Contains(err.Error(), "the targets or options are not those that the scan began with") {
		t.Errorf("error %v", err)
	}
}

func TestOptions(t *testing.T) {
	o := Options{"rate": {"10k"}, "exclude": {"b", "a"}, "4": {"true"}}
	if got, want := o.Lines(), []string{"4=true", "exclude=b", "exclude=a", "rate=10k"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, test := range []struct {
		given Options
		want  string
	}{
		{nil, ""},
		{Options{"rate": {"10k"}}, ""},
		{Options{"exclude": {"b", "a"}, "4": {"true"}}, ""},
		{Options{"rate": {"20k"}}, `--rate is "10k" in the checkpoint and "20k" here: a resumed scan keeps its options`},
		{Options{"exclude": {"a", "b"}}, `--exclude is "b a" in the checkpoint and "a b" here`},
		{Options{"seed": {"7"}}, `--seed is not given in the checkpoint and "7" here`},
	} {
		err := o.Conflict(test.given)
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%v: error %v, want %q", test.given, err, test.want)
		}
	}
}

func TestDefaultPath(t *testing.T) {
	for values, want := range map[string]string{
		"":                             "rawshake.checkpoint",
		"-":                            "rawshake.checkpoint",
		"- /tmp/a.jsonl b.csv":         "/tmp/a.jsonl.checkpoint",
		"csv:" + os.DevNull + " b.csv": "b.csv.checkpoint",
		"csv:" + os.DevNull:            "rawshake.checkpoint",
	} {
		specs, err := output.ParseSpecs(strings.Fields(values), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := DefaultPath(specs); got != want {
			t.Errorf("%q: %s, want %s", values, got, want)
		}
	}
}
