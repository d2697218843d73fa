package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// create is Create that succeeds.
func create(t testing.TB, path string) *File {
	t.Helper()
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// save is Save that succeeds.
func save(t testing.TB, f *File, c *Checkpoint) {
	t.Helper()
	if err := f.Save(c); err != nil {
		t.Fatal(err)
	}
}

// lost fails unless the file is gone, with all that was beside it.
func lost(t *testing.T, path string) {
	t.Helper()
	if left, _ := filepath.Glob(path + "*"); left != nil {
		t.Errorf("%v is left", left)
	}
}

func TestSaveOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.checkpoint")
	f := create(t, path)
	for range 2 { // the second replaces the first
		save(t, f, sample())
		if got, err := Load(path); err != nil || !reflect.DeepEqual(got, sample()) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, sample())
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v, want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(path + ".*"); left != nil {
		t.Errorf("%v is left", left)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, got, err := Open(path)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Fatalf("%+v, %v", got, err)
	}
	if f.Path() != path || f.Dir() != filepath.Dir(path) {
		t.Errorf("%s in %s", f.Path(), f.Dir())
	}
	os.Remove(path)
	if err := f.Remove(); err != nil { // that it is gone already is fine
		t.Error(err)
	}
	for _, open := range []func() error{
		func() error { _, err := Load(path); return err },
		func() error { _, _, err := Open(path); return err },
	} {
		if err := open(); !errors.Is(err, fs.ErrNotExist) || err.Error() != "checkpoint "+path+": no such file or directory" {
			t.Errorf("error %v", err)
		}
	}
}

// TestNeverSaved: who makes a checkpoint and does not begin leaves none.
func TestNeverSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.checkpoint")
	if err := create(t, path).Close(); err != nil {
		t.Error(err)
	}
	lost(t, path)
}

// TestTaken: one program at a time uses a checkpoint, and a new scan takes none that another can go on from.
func TestTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.checkpoint")
	refused := func(open func(string) error, says string) {
		t.Helper()
		if err := open(path); !errors.Is(err, ErrTaken) || err.Error() != "checkpoint "+path+": it belongs to another scan, which "+says {
			t.Errorf("error %v", err)
		}
	}
	newScan := func(path string) error { _, err := Create(path); return err }
	goOn := func(path string) error { _, _, err := Open(path); return err }
	fresh := sample()
	fresh.Lanes = nil

	f := create(t, path)
	refused(newScan, "is using it now")
	refused(goOn, "is using it now")
	save(t, f, fresh)
	refused(newScan, "is using it now")
	refused(goOn, "is using it now")
	f.Close()

	f = create(t, path) // nobody was asked, so that nothing is lost
	save(t, f, sample())
	f.Close()
	refused(newScan, "was interrupted after 1 of 1099511627776 targets and can go on")

	f, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	save(t, f, sample())
	refused(newScan, "is using it now")
	refused(goOn, "is using it now")
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	lost(t, path)
	create(t, path).Close()
}

// TestOneAtATime: however many want a checkpoint, however often it is replaced and removed, one has it.
func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.checkpoint")
	c := &Checkpoint{}
	var users atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for turns := 0; turns < 20; {
				f, err := Create(path)
				if errors.Is(err, ErrTaken) {
					runtime.Gosched()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if users.Add(1) != 1 {
					t.Error("two have it")
				}
				turns++
				if err := f.Save(c); err != nil {
					t.Error(err)
				}
				users.Add(-1)
				if i%2 == 0 {
					err = f.Remove()
				} else {
					err = f.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestForeignFile: what is no checkpoint is not overwritten, and what is no file is neither read, which may never end, nor
// replaced: /dev/null would be a file then.
func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("10.0.0.0/8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Create(list)
	if err == nil || !strings.HasPrefix(err.Error(), "checkpoint "+list+": something else is there, and is not overwritten: it is torn, or no checkpoint") {
		t.Errorf("error %v", err)
	}
	if content, err := os.ReadFile(list); string(content) != "10.0.0.0/8\n" {
		t.Errorf("%q %v", content, err)
	}
	_, loaded := Load(dir)
	_, created := Create(dir)
	_, _, opened := Open(dir)
	for _, err := range []error{loaded, created, opened} {
		if err == nil || !strings.Contains(err.Error(), dir+": it is no file") {
			t.Errorf("error %v", err)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("%v %v", info, err)
	}
}

// TestLinkedFile: links that lead to a checkpoint stay, and so does its mode.
func TestLinkedFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "kept", "x"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o755), os.Symlink("kept/x", link)); err != nil {
		t.Fatal(err)
	}
	f := create(t, link) // what the link names is made
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	save(t, f, sample())
	save(t, f, sample())
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if f.Dir() != filepath.Dir(path) {
		t.Errorf("it is in %s", f.Dir())
	}
	if _, err := Create(path); !errors.Is(err, ErrTaken) {
		t.Errorf("error %v", err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if err := os.Symlink("kept", filepath.Join(dir, "far")); err != nil {
		t.Fatal(err)
	}
	if f := create(t, dir+"/far/../y"); f.Dir() != dir {
		t.Errorf("it is in %s", f.Dir())
	}
	if to, err := os.Readlink(link); to != "kept/x" {
		t.Errorf("%s %v", to, err)
	}
	lost(t, path)
}

// TestSaveFails: the old checkpoint stays, and stays ours, whatever hinders the new one.
func TestSaveFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("x", 250)) // the name of the new file would be too long
	f := create(t, path)
	content, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := sample()
	newer.Hash = "new"
	if err := f.Save(newer); err == nil || err.Error() != "checkpoint "+path+": file name too long" {
		t.Errorf("error %v", err)
	}
	if c, err := Load(path); err != nil || c.Hash != "abc" {
		t.Errorf("the old one: %v %v", c, err)
	}
	if _, _, err := Open(path); !errors.Is(err, ErrTaken) {
		t.Errorf("error %v", err)
	}
	if _, err := Create(filepath.Join(dir, "no", "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
