package main

import (
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
  130, 143  ended by SIGINT, SIGTERM, after the summary`

// newRoot returns the whole command. Each subcommand has a file of its own with a constructor; this is the one list of them.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "rawshake",
		Short: "Tell whether TCP endpoints answer, with half-open probes",
		Long: `rawshake sends a SYN, recognises the SYN-ACK, RST or ICMP error that answers it, and resets a half-open
connection with a RST of its own. The application behind the port never notices. It needs CAP_NET_RAW and nothing else;
"rawshake doctor" tells how to get it.`,
		Example: `  rawshake check example.net:443
  rawshake doctor example.net:443
  rawshake demo`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.With(exit.Usage, err) })
	root.AddCommand(newCheck(), newDoctor(), newDemo(), newVersion())
	return root
}
