package main

import (
	"os"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/demo"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/term"
	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	var color string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Probe an open, a closed and a silent port on loopback and show every packet",
		Long: `demo makes an open, a closed and a silent port on loopback, in IPv4 and in IPv6, probes them and shows the packets of each
exchange with what they mean. It needs no network. It needs CAP_NET_RAW, like every half-open probe.`,
		Example: `  rawshake demo
  sudo rawshake demo`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			colored, err := term.Color(color, cmd.OutOrStdout(), os.Getenv)
			if err != nil {
				return err
			}
			return demo.Run(cmd.Context(), demo.Options{Stdout: cmd.OutOrStdout(), Color: colored})
		},
	}
	cmd.Flags().StringVar(&color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	complete(cmd, "color", term.Modes...)
	return cmd
}
