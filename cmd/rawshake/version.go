package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/spf13/cobra"
)

// version is set by a release build: -ldflags "-X main.version=v1.2.3". If empty, the Go tool's stamp counts.
var version string

// build says what this program was made of.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Time     string `json:"time,omitempty"`     // of the revision, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the source had changes besides
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  rawshake version
  rawshake version -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := thisBuild()
			switch format {
			case "text":
				cmd.Println(b)
				return nil
			case "json":
				return exit.With(exit.System, json.NewEncoder(cmd.OutOrStdout()).Encode(b))
			}
			return exit.Usagef("-o %q: want text or json", format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	complete(cmd, "output", "text", "json")
	return cmd
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	text := fmt.Sprintf("rawshake %s (%s, %s)", b.Version, b.Go, b.Platform)
	if b.Revision != "" {
		text += " " + b.Revision
	}
	return text
}
