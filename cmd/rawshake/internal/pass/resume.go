//go:build linux && !android

package pass

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/rawshake/rawshake/scan/output"
)

// hashOf identifies a scan: its targets, its options, and what its scope allows.
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

// sparesUnfinished fails where a new scan would overwrite the records and the checkpoint of one that can go on.
func (r *run) sparesUnfinished() error {
	old, err := checkpoint.Load(r.Checkpoint)
	if r.Checkpoint == "" || err != nil || old.Run.Done() == 0 {
		return nil
	}
	for _, was := range old.Outputs {
		if was.Bytes > 0 && slices.ContainsFunc(r.Outputs, func(s output.Spec) bool { return sameFile(s.Path, was.Path) }) {
			return exit.Usagef("%s is the checkpoint of a scan that was interrupted, and its records are in %s: go on with "+
				"`rawshake scan --resume %[1]s`, or delete the checkpoint to start anew", r.Checkpoint, was.Path)
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// distinctFiles fails where two things would be written to one file.
func (o *Options) distinctFiles() error {
	use := map[string]string{}
	for _, s := range o.Outputs {
		use[filepath.Clean(s.Path)] = "-o"
	}
	for flag, path := range map[string]string{"--checkpoint": o.Checkpoint, "--pcap": o.Pcap} {
		if path == "" {
			continue
		}
		if other := use[filepath.Clean(path)]; other != "" {
			return exit.Usagef("%s %s: %s writes to the same file: give it a name of its own", flag, path, other)
		}
		use[filepath.Clean(path)] = flag
	}
	return nil
}
