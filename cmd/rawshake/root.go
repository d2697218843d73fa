package main

import (
	"fmt"
	"strings"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/spf13/cobra"
)

const exitCodes = `Exit codes:
  0  every target is open
  1  some target is not
  2  a name did not resolve
  3  the command line is wrong
  4  no privilege, or a system failure kept a probe from being sent
  5  results are incomplete because of losses of our own
  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM, after the summary`

// helpWidth is how many columns help takes at most.
const helpWidth = 100

// newRoot returns the whole command. Each subcommand has a file of its own with a constructor; this is the one list of them.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "rawshake",
		Short: "Tell whether TCP endpoints answer, with half-open probes",
		Long: `rawshake sends a SYN, recognises the SYN-ACK, RST or ICMP error that answers it, and resets a half-open
connection with a RST of its own. The application behind the port never notices. It needs CAP_NET_RAW and nothing else;
"rawshake doctor" tells how to get it.`,
		Example: `  rawshake check example.net:443
  rawshake scan 10.0.0.0/8 -p 80,443 -o result.jsonl
  rawshake doctor example.net:443
  rawshake demo`,
		Version:                    thisBuild().String(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		Args:                       noSuchCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.With(exit.Usage, err) })
	root.AddCommand(newCheck(), newScan(), newTargets(), newDoctor(), newDemo(), newVersion())
	root.SetHelpCommand(newHelp(root))
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", helpWidth)))
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = cobra.ArbitraryArgs, noSuchShell
	}
	return root
}

// noSuchCommand names the commands to someone who wrote another.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return exit.Usagef("there is no command %q: did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return exit.Usagef("there is no command %q: the commands are %s", args[0], strings.Join(names(root), ", "))
}

// newHelp is cobra's help command with an error for what there is no help on.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 && cmd.HasSubCommands() {
				return noSuchCommand(cmd, rest)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if cmd, _, err := root.Find(args); err == nil {
				return names(cmd), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// noArguments refuses arguments of a command that has none.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit.Usagef("there are no arguments: leave %q out", args[0])
	}
	return nil
}

// noSuchShell is completion without the name of a shell that it knows.
func noSuchShell(completion *cobra.Command, _ []string) error {
	return exit.Usagef("name your shell: %s", strings.Join(names(completion), ", "))
}

// names lists the subcommands.
func names(cmd *cobra.Command) []string {
	var all []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, c.Name())
		}
	}
	return all
}
