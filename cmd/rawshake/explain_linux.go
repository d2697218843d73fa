//go:build linux && !android

package main

import (
	"errors"
	"fmt"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/doctor"
	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/rawshake/rawshake/raw"
)

// classify finds errors of usage that only opening sockets could tell: too few ports for a prober or for the lanes of a scan.
func classify(err error) error {
	var ports *raw.RangeError
	if errors.As(err, &ports) {
		return exit.Usagef("--source-ports: %w", ports)
	}
	return err
}

// explainPrivilege words a missing privilege: one sentence, and what to paste. A command with --method has one more way.
func explainPrivilege(err error, hasMethod bool) (string, bool) {
	var p *raw.PrivilegeError
	if !errors.As(err, &p) {
		return "", false
	}
	fix, other := doctor.SplitFix(p.Fix)
	text := fmt.Sprintf("no permission to open raw sockets: %s. To mend it:\n\n    %s\n", p.Situation, fix)
	if other != "" {
		text += "\n  or: " + other
	}
	if hasMethod {
		text += "\n  or: --method connect, which needs no privilege and completes the handshake"
	}
	return text, true
}
