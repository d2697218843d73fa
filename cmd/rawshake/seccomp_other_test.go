//go:build !linux || android

package main

import "errors"

func play(string) error { return errors.ErrUnsupported }
