//go:build linux && !android

package scan_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"testing"
	"time"

	"github.com/rawshake/rawshake/raw"
	"github.com/rawshake/rawshake/scan"
	"github.com/rawshake/rawshake/scan/target"
)

// The body of this function is a block of README.md, word for word: TestReadme in the root holds it, and the test below runs it.

func Example() {
	var spec target.Spec
	if err := spec.Add("127.0.0.0/24:9"); err != nil {
		log.Fatal(err)
	}
	targets, err := spec.Compile(context.Background()) // looks names up; SkipUnresolved leaves out those that do not resolve
	if err != nil {
		log.Fatal(err)
	}
	s, err := scan.New(scan.Config{Targets: targets, Rate: 10_000, Timeout: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for record, err := range s.Results(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if record.Target.Addr().As4()[3] == 7 {
			fmt.Println(record.Target, record.State, record.Reason)
		}
	}
	fmt.Println(s.Totals().Done(), "of", s.Targets(), "targets")
}

func TestExample(t *testing.T) {
	if err := raw.CheckPrivilege(); err != nil {
		t.Skip(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	Example()
	os.Stdout = stdout
	w.Close()
	got, _ := io.ReadAll(r)
	if want := "127.0.0.7:9 closed rst\n256 of 256 targets\n"; string(got) != want {
		t.Errorf("it prints\n%swant\n%s", got, want)
	}
}
