//go:build linux && !android

package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/scan/checkpoint"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// momentary are the flags that belong to one run of the command, not to the scan.
var momentary = []string{"resume", "checkpoint", "progress", "color", "dry-run", "yes", "help"}

// adjustable are the flags of a scan that change neither its targets nor its outputs: it may go on with others.
var adjustable = []string{"rate", "per-host-rate", "per-net-rate", "max-inflight", "outage-wait", "checkpoint-every", "fail-on"}

// lasting leaves out what is adjustable.
func lasting(all checkpoint.Options) checkpoint.Options {
	o := maps.Clone(all)
	for _, name := range adjustable {
		delete(o, name)
	}
	return o
}

// given returns the flags of the scan that were written, with their values.
func given(cmd *cobra.Command) checkpoint.Options {
	o := checkpoint.Options{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(momentary, f.Name) {
			o[f.Name] = valuesOf(f)
		}
	})
	return o
}

func valuesOf(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}

// saved returns the flags that a checkpoint keeps: the seed is among them also when it was random.
func saved(cmd *cobra.Command, seed uint64) checkpoint.Options {
	o := given(cmd)
	o["seed"] = []string{strconv.FormatUint(seed, 10)}
	return o
}

// restore reads a checkpoint and sets the flags that it keeps. It returns the targets of the scan, and fails when the command line
// says something else.
func restore(cmd *cobra.Command, path string, args []string) (*checkpoint.Checkpoint, []string, error) {
	c, err := checkpoint.Load(path)
	if err != nil {
		return nil, nil, exit.Usagef("--resume: %w", err)
	}
	if err := c.Options.Conflict(lasting(given(cmd))); err != nil {
		return nil, nil, exit.Usagef("--resume: %w. Others may be given only to --%s", err, strings.Join(adjustable, ", --"))
	}
	if len(args) > 0 && !slices.Equal(args, c.Args) {
		return nil, nil, exit.Usagef("--resume: the targets are %q in the checkpoint and %q here: a resumed scan keeps its targets; leave them out, or "+
			"start anew without --resume", c.Args, args)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		if err := set(cmd.Flags(), name, c.Options[name]); err != nil {
			return nil, nil, exit.Usagef("--resume: checkpoint %s: %w", path, err)
		}
	}
	return c, c.Args, nil
}

// enter makes the directory that the scan began in, as seen from its checkpoint, the current one: the relative names of its files
// start there.
func (f *scanFlags) enter(cmd *cobra.Command, dir string) error {
	file, err := filepath.EvalSymlinks(f.resume)
	if dir == "" || err != nil {
		return err
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(file), dir)
	}
	there, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("checkpoint %s: the names of the scan's files start in %s: %w: put the checkpoint back where it was", f.resume, dir, err)
	}
	if here, err := os.Stat("."); err == nil && os.SameFile(here, there) {
		return nil
	}
	for _, name := range []*string{&f.resume, &f.checkpoint} {
		if *name == "" || *name == "off" {
			continue
		}
		if *name, err = filepath.Abs(*name); err != nil {
			return err
		}
	}
	cmd.PrintErrf("going on in %s, where the names of the scan's files start\n", dir)
	return os.Chdir(dir)
}

// set gives a flag its values, unless the command line has given it some.
func set(flags *pflag.FlagSet, name string, values []string) error {
	f := flags.Lookup(name)
	if f == nil {
		return fmt.Errorf("this program has no flag --%s: resume with the program that wrote it", name)
	}
	if f.Changed {
		return nil
	}
	for _, v := range values {
		if err := flags.Set(name, v); err != nil {
			return err
		}
	}
	return nil
}

// pinned is what names resolved to when the scan began.
func pinned(c *checkpoint.Checkpoint) map[string][]netip.Addr {
	if c.Pins == nil {
		return map[string][]netip.Addr{}
	}
	return c.Pins
}
