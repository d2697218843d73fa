//go:build !linux || android || rawshake_connect

package rawshake

import "errors"

// hasRaw says that this build has no raw engine: New makes connect probers. The tag rawshake_connect builds it so on Linux.
const hasRaw = false

func needsPrivilege(error) bool { return false }

func openRaw(Config) (backend, error) { return nil, errors.ErrUnsupported }
