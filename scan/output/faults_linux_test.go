package output

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rawshake/rawshake/scan/record"
)

// TestDeviceFull writes to the kernel's own full disk, with an output beside it that must go on.
func TestDeviceFull(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.jsonl")
	_, s := openSpecs(t, "jsonl:/dev/full", good)
	mustWrite(t, s, numbered(1))
	_, err := s.Mark().Wait()
	want := "output /dev/full: no space left on device: free some space"
	if err == nil || err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want %q", err, want)
	}
	if err := s.Write([]record.Record{numbered(2)}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the next write says %v", err)
	}
	if err := s.Finish(&run); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Finish says %v", err)
	}
	if lines := strings.Count(read(t, good), "\n"); lines != 3 {
		t.Errorf("%d lines in the other output, want 2 results and the run", lines)
	}
}

func TestClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	path := fmt.Sprintf("/dev/fd/%d", w.Fd())
	_, s := openSpecs(t, "jsonl:"+path)
	mustWrite(t, s, numbered(1))
	lengths, err := s.Mark().Wait()
	if err != nil || lengths[0] != (Length{path, -1}) {
		t.Errorf("a pipe has %v %v", lengths, err)
	}
	r.Close()
	mustWrite(t, s, numbered(2))
	_, err = s.Mark().Wait()
	want := "output " + path + ": broken pipe: the program that read it has gone"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	s.Close()
}

// TestFileSizeLimit lets the kernel stop a real file in the middle of a line, in a process of its own.
func TestFileSizeLimit(t *testing.T) {
	const limit = 600_000
	if path := os.Getenv("OUTPUT_TEST_LIMITED"); path != "" {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
		_, s := openSpecs(t, path)
		for n := range 10_000 {
			s.Write([]record.Record{numbered(n)})
		}
		err := s.Close()
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("error %v", err)
		}
		fmt.Println("whole:", e.Whole)
		return
	}
	path := filepath.Join(t.TempDir(), "a.jsonl")
	child := exec.Command(os.Args[0], "-test.run=^TestFileSizeLimit$")
	child.Env = append(os.Environ(), "OUTPUT_TEST_LIMITED="+path)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content := read(t, path)
	if want := fmt.Sprintf("whole: %d\n", len(content)); !strings.Contains(string(out), want) {
		t.Errorf("the error spoke of %s, the file has %d bytes", out, len(content))
	}
	if !strings.HasSuffix(content, "}\n") || len(content) < limit/2 {
		t.Errorf("the file has %d bytes and ends in %q", len(content), content[max(0, len(content)-50):])
	}
}

// TestSpecFile: only what goes to a file, or will, has a place beside which something may lie.
func TestSpecFile(t *testing.T) {
	dir := t.TempDir()
	fifo, there, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "there"), filepath.Join(dir, "link")
	file, err := os.Create(there)
	if err := errors.Join(err, syscall.Mkfifo(fifo, 0o600), os.Symlink("there", link)); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	descriptor := fmt.Sprintf("/dev/fd/%d", file.Fd())
	for path, want := range map[string]bool{
		Stdout: false, there: true, link: true, filepath.Join(dir, "none"): true, fifo: false, "/dev/full": false, "/dev/null": false, descriptor: false,
		fmt.Sprintf("/proc/self/fd/%d", file.Fd()): false,
	} {
		if got := (Spec{Path: path}).File(); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
