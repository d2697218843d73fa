//go:build !linux || android

package main

import (
	"errors"
	"runtime"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/spf13/cobra"
)

var errScanNeedsLinux = errors.New("a scan needs Linux and its packet sockets; this is " + runtime.GOOS +
	": `rawshake check --method connect` works here, and so does `rawshake targets`")

func newScan() *cobra.Command {
	return &cobra.Command{
		Use:                "scan",
		Short:              "Probe many targets once each (on Linux)",
		Long:               "scan needs Linux and its packet sockets. `rawshake check --method connect` works here, and so does `rawshake targets`.",
		Example:            "  rawshake scan --help",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
				return cmd.Help()
			}
			return exit.With(exit.System, errScanNeedsLinux)
		},
	}
}
