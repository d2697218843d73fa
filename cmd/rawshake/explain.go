package main

import (
	"errors"
	"strings"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/spf13/cobra"
)

// silent reports whether an error only carries an exit code.
func silent(err error) bool {
	var coded *exit.Error
	return errors.As(err, &coded) && coded.Err == nil
}

// explain words an error of a command for the terminal.
func explain(cmd *cobra.Command, err error) string {
	if text, ok := explainPrivilege(err, cmd.Flags().Lookup("method") != nil); ok {
		return text
	}
	return unprefixed(err.Error())
}

// unprefixed cuts off which packages an error came through: the command says who is talking.
func unprefixed(text string) string {
	for {
		cut := text
		for _, pkg := range []string{"rawshake: ", "scan: ", "raw: "} {
			cut = strings.TrimPrefix(cut, pkg)
		}
		if cut == text {
			return text
		}
		text = cut
	}
}
