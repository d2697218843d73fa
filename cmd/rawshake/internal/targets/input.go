// Package targets turns what a command line says about targets into a [target.Space], for `rawshake scan` and for
// `rawshake targets`, which expands, counts and checks them without sending anything.
package targets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/scan/target"
)

// Stdin is the name of a file that means standard input.
const Stdin = "-"

// Input is what a command line says about targets.
type Input struct {
	Args         []string     // targets; Stdin is a stream of them
	Files        []string     // of targets, one a line; perhaps Stdin
	Ports        target.Ports // of targets without a port of their own
	Exclude      []string     // targets
	ExcludeFiles []string
	Scope        string // file of what may be sent to; "": everything
	Network      string // "ip4" or "ip6" leaves the other family out; "ip" takes both
	AllAddresses bool   // every address of a name, or the first
	Interface    string // -I: gives link-local addresses their zone
	Stdin        io.Reader

	// Pinned, if not nil, is what names resolved to when the scan began. Nothing is resolved then, and other names are left out.
	Pinned map[string][]netip.Addr
}

// Set is the targets that an Input came to.
type Set struct {
	*target.Space
	Scope        *target.Scope  // nil: everything may be sent to
	Outside      uint64         // targets that the scope does not allow
	FirstOutside netip.AddrPort // one of them
}

// Load reads and resolves the targets, which this host is to send to: it must have their interfaces. Errors carry their exit code.
func (in Input) Load(ctx context.Context) (*Set, error) {
	set, err := in.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := CheckZones(set.Space, in.Interface); err != nil {
		return nil, inputError(Labelled("target", err))
	}
	return set, nil
}

// Read reads and resolves the targets. Errors carry their exit code.
func (in Input) Read(ctx context.Context) (*Set, error) {
	return interruptible(ctx, func() (*Set, error) { return in.load(ctx) })
}

// interruptible lets ctx end what may wait for a terminal: a read from there cannot be interrupted.
func interruptible[V any](ctx context.Context, read func() (V, error)) (V, error) {
	type outcome struct {
		value V
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := read()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none V
		return none, exit.Ended(ctx)
	}
}

// Lines reads the targets one by one: those of Args, of files, and of standard input. They are not looked at.
func (in Input) Lines(ctx context.Context) ([]target.Line, error) {
	return interruptible(ctx, in.lines)
}

func (in Input) lines() (all []target.Line, err error) {
	keep := func(l target.Line) error {
		all = append(all, l)
		return nil
	}
	readLines := func(name string, r io.Reader) error { return target.EachLine(name, r, keep) }
	for _, arg := range in.Args {
		if arg == Stdin {
			err = in.read(Stdin, "TARGET", readLines)
		} else {
			err = keep(target.Line{Target: arg})
		}
		if err != nil {
			return nil, inputError(err)
		}
	}
	for _, name := range in.Files {
		if err := in.read(name, "-f", readLines); err != nil {
			return nil, inputError(err)
		}
	}
	return all, nil
}

func (in Input) load(ctx context.Context) (*Set, error) {
	spec := in.spec()
	if err := in.fill(spec); err != nil {
		return nil, err
	}
	return in.compile(ctx, spec)
}

// spec returns an empty Spec with the options of the Input.
func (in Input) spec() *target.Spec {
	s := &target.Spec{Ports: in.Ports, AllAddresses: in.AllAddresses, Network: in.Network, SkipUnresolved: true}
	if in.Pinned != nil {
		s.Pinned, s.Resolver = in.Pinned, stillUnresolved{}
	}
	return s
}

// stillUnresolved keeps the targets of a scan the same when it goes on.
type stillUnresolved struct{}

func (stillUnresolved) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("it did not when the scan began")
}

// fill adds everything to a Spec. The first error ends it, unless the Spec has an OnError.
func (in Input) fill(spec *target.Spec) error {
	for _, step := range in.steps(spec) {
		if err := step(); err != nil {
			return inputError(err)
		}
	}
	return nil
}

// steps are the parts of filling a Spec, each of which may find something wrong.
func (in Input) steps(spec *target.Spec) (steps []func() error) {
	add := func(step func() error) { steps = append(steps, step) }
	for _, arg := range in.Args {
		if arg == Stdin {
			add(func() error { return in.read(Stdin, "TARGET", spec.Read) })
		} else {
			add(func() error { return Labelled("target", spec.Add(arg)) })
		}
	}
	for _, name := range in.Files {
		add(func() error { return in.read(name, "-f", spec.Read) })
	}
	for _, text := range slices.Concat(in.Exclude, in.otherFamily()) {
		add(func() error { return Labelled("--exclude", spec.Exclude(text)) })
	}
	for _, name := range in.ExcludeFiles {
		add(func() error { return in.read(name, "--exclude-file", spec.ReadExclude) })
	}
	return steps
}

// otherFamily is what -4 or -6 leaves out.
func (in Input) otherFamily() []string {
	switch in.Network {
	case "ip4":
		return []string{"::/0"}
	case "ip6":
		return []string{"0.0.0.0/0"}
	}
	return nil
}

// read has fn read a file that a flag names.
func (in Input) read(name, flag string, fn func(name string, r io.Reader) error) error {
	if name == Stdin {
		return fn("standard input", in.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	defer f.Close()
	return fn(name, f)
}

// Labelled says what kind of argument is wrong, unless the error says that it is of a file, or of a target that is empty.
func Labelled(kind string, err error) error {
	var e *target.Error
	if err == nil || errors.As(err, &e) && (e.File != "" || e.Text == "" && kind == "target") {
		return err
	}
	return fmt.Errorf("%s %w", kind, err)
}

// compile resolves names and holds the targets to the scope.
func (in Input) compile(ctx context.Context, spec *target.Spec) (*Set, error) {
	space, err := spec.Compile(ctx)
	if err != nil {
		return nil, compileError(ctx, err)
	}
	set := &Set{Space: space}
	if in.Scope == "" {
		return set, nil
	}
	if err := in.read(in.Scope, "--scope", func(name string, r io.Reader) (err error) {
		set.Scope, err = target.ReadScope(name, r)
		return err
	}); err != nil {
		return nil, inputError(err)
	}
	set.Outside, set.FirstOutside = set.Scope.Outside(space)
	return set, nil
}

func compileError(ctx context.Context, err error) error {
	var names *target.UnresolvedError
	switch {
	case ctx.Err() != nil:
		return exit.Ended(ctx)
	case errors.As(err, &names):
		return exit.With(exit.Unresolved, fmt.Errorf("--exclude: %w", err))
	case errors.Is(err, target.ErrNoPorts):
		return inputError(Labelled("target", err))
	}
	return inputError(err)
}

// inputError is an error of whoever wrote the targets.
func inputError(err error) error { return exit.With(exit.Usage, err) }

// ReadsStdin reports whether standard input is read.
func (in Input) ReadsStdin() bool { return in.stdins() > 0 }

// StdinTwice reports whether standard input would have to be read more than once.
func (in Input) StdinTwice() bool { return in.stdins() > 1 }

func (in Input) stdins() (n int) {
	for _, name := range slices.Concat(in.Args, in.Files, in.ExcludeFiles, []string{in.Scope}) {
		if name == Stdin {
			n++
		}
	}
	return n
}
