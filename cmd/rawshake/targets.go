package main

import (
	"fmt"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/targets"
	"github.com/spf13/cobra"
)

func newTargets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "Expand, count or check targets without sending anything",
		Long: `targets shows what the target flags of scan come to. It needs no privilege and sends nothing but
the look-ups of names.

` + targetsHelp,
		Example: `  rawshake targets count 10.0.0.0/8 -p 80,443
  rawshake targets expand -f hosts.txt -p 22 --exclude 10.0.0.0/24
  rawshake targets lint -f hosts.txt -p 22`,
		Args: noSuchTargetsCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTargetsExpand(), newTargetsCount(), newTargetsLint())
	return cmd
}

func noSuchTargetsCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return exit.Usagef("targets does not know %q: write `rawshake targets expand`, `count` or `lint` before the targets", args[0])
}

func newTargetsExpand() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "expand [flags] TARGET...",
		Short: "Print every target as addr:port, in the order of a scan",
		Long: `expand prints a line addr:port for each target that a scan would send to, in the order of that
scan: the same targets with the same --seed and --shard are the same lines on every machine.
Remarks go to stderr.`,
		Example: `  rawshake targets expand 10.0.0.0/30 -p 80,443 --seed 1
  rawshake targets expand -f hosts.txt -p 443 --seed 1 --shard 2/5
  rawshake targets expand -f hosts.txt -p 443 | sort -V`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.fits(cmd); err != nil {
				return err
			}
			set, o, err := f.load(cmd, args)
			if err != nil {
				return err
			}
			if !f.seedSet {
				cmd.PrintErrf("seed %d\n", o.Seed)
			}
			if err := targets.Expand(cmd.Context(), cmd.OutOrStdout(), set, o); err != nil {
				return err
			}
			return f.remark(cmd, set)
		},
	}
	f.register(cmd)
	return cmd
}

func newTargetsCount() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "count [flags] TARGET...",
		Short: "Print how many targets there are",
		Long: `count prints the number of targets that a scan would send to, as one number on stdout. What was
merged or left out goes to stderr.`,
		Example: `  rawshake targets count 10.0.0.0/8 -p 80,443
  rawshake targets count -f hosts.txt -p 443 --scope scope.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, o, err := f.load(cmd, args)
			if err != nil {
				return err
			}
			n, err := targets.Count(cmd.Context(), set, o)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), n); err != nil {
				return exit.With(exit.System, err)
			}
			return f.remark(cmd, set)
		},
	}
	f.register(cmd)
	return cmd
}

func newTargetsLint() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "lint [flags] TARGET...",
		Short: "Report everything that is wrong with targets",
		Long: `lint reads all targets and reports every broken line with its file and number, and how many targets
are named twice, excluded, refused or outside the scope.

Exit codes:
  0  every target can be scanned
  2  a name did not resolve
  3  a target or the command line is wrong`,
		Example: `  rawshake targets lint -f hosts.txt -p 443
  rawshake targets lint -f hosts.txt -p 443 --exclude-file never.txt --scope scope.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := f.input(cmd, args)
			if err != nil {
				return err
			}
			return in.Lint(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	return cmd
}

// load reads the targets and their order.
func (f *targetFlags) load(cmd *cobra.Command, args []string) (set *targets.Set, o targets.Order, err error) {
	in, err := f.input(cmd, args)
	if err != nil {
		return nil, o, err
	}
	set, err = in.Read(cmd.Context())
	return set, f.order(cmd), err
}

// remark says on stderr what became of targets that are not there. A name without an address is an exit code, too.
func (f *targetFlags) remark(cmd *cobra.Command, set *targets.Set) error {
	for _, line := range set.Remarks() {
		cmd.PrintErrln(line)
	}
	if len(set.Unresolved()) > 0 {
		return exit.Quietly(exit.Unresolved)
	}
	return nil
}
