//go:build linux && !android

package pass

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/scan/checkpoint"
)

// hashOf identifies a scan: its targets, the options that it keeps, and what its scope allows.
func hashOf(set *targets.Set, flags checkpoint.Options) string {
	lines := flags.Lines()
	if set.Scope != nil {
		h := sha256.New()
		for _, p := range set.Scope.Prefixes() {
			fmt.Fprintln(h, p)
		}
		lines = append(lines, "scope holds "+hex.EncodeToString(h.Sum(nil)))
	}
	sum := set.Hash(lines...)
	return hex.EncodeToString(sum[:])
}

// holdCheckpoint takes the checkpoint that the scan goes on from and the one that it saves to, mostly the same. It returns the
// latter; nil: none.
func (r *run) holdCheckpoint() (*checkpoint.File, error) {
	if r.Resume != nil {
		file, now, err := checkpoint.Open(r.ResumeFile)
		if err != nil {
			return nil, exit.Usagef("--resume: %w", taken(r.ResumeFile, err))
		}
		r.held = append(r.held, file)
		if !now.Time.Equal(r.Resume.Time) {
			return nil, exit.Usagef("--resume: checkpoint %s: another program has gone on from it just now: see how far it is", r.ResumeFile)
		}
		if sameFile(r.ResumeFile, r.Checkpoint) {
			return file, nil
		}
	}
	if r.Checkpoint == "" {
		return nil, nil
	}
	file, err := r.create()
	switch {
	case errors.Is(err, checkpoint.ErrTaken):
		return nil, exit.With(exit.Usage, taken(r.Checkpoint, err))
	case err != nil:
		return nil, exit.With(exit.System, elsewhere(err))
	}
	r.held = append(r.held, file)
	return file, nil
}

// create makes the checkpoint of a new scan. Where any name will do, it passes over those that other scans have.
func (r *run) create() (*checkpoint.File, error) {
	file, err := checkpoint.Create(r.Checkpoint)
	if !r.Spare || !errors.Is(err, checkpoint.ErrTaken) {
		return file, err
	}
	name, ending := r.Checkpoint, filepath.Ext(r.Checkpoint)
	for n := 2; n < 100; n++ {
		r.Checkpoint = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ending), n, ending)
		file, another := checkpoint.Create(r.Checkpoint)
		if another == nil {
			r.say("%v; the one of this scan is %s", err, r.Checkpoint)
		}
		if !errors.Is(another, checkpoint.ErrTaken) {
			return file, another
		}
	}
	r.Checkpoint = name
	return nil, err
}

// taken says what to do about a checkpoint that another scan has.
func taken(path string, err error) error {
	switch {
	case errors.Is(err, checkpoint.ErrInUse):
		return fmt.Errorf("%w: wait for its end, or name other files with -o and --checkpoint", err)
	case errors.Is(err, checkpoint.ErrTaken):
		return fmt.Errorf("%w: do so with `rawshake scan --resume %s`, or delete it to start anew, or name other files with -o and --checkpoint",
			err, quoted(path))
	}
	return err
}

// elsewhere says what to do about a place that no checkpoint can be written to.
func elsewhere(err error) error {
	return fmt.Errorf("%w: choose another place with --checkpoint FILE, or go without by --checkpoint off", err)
}

// letGo lets go of the checkpoints; those of a scan that is whole go away.
func (r *run) letGo(whole bool) (err error) {
	for _, file := range r.held {
		if whole {
			err = cmp.Or(err, file.Remove())
		} else {
			file.Close()
		}
	}
	return err
}

// workingDirectory is where relative names of files start, as seen from another directory: both may be moved together. If it cannot
// be told, "".
func workingDirectory(from string) string {
	here, err := os.Getwd()
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	if err == nil {
		here, err = filepath.Rel(from, here)
	}
	if err != nil {
		return ""
	}
	return here
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
