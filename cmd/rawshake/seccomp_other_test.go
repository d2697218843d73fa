//go:build !linux || android

package main

import "errors"

const seccompVariable = "RAWSHAKE_TEST_SECCOMP"

func becomeCommand(string) error { return errors.ErrUnsupported }
