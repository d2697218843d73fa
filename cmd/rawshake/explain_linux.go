//go:build linux && !android

package main

import (
	"errors"
	"fmt"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/doctor"
	"github.com/rawshake/rawshake/raw"
)

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
