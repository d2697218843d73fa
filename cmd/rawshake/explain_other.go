//go:build !linux || android

package main

func explainPrivilege(error, bool) (string, bool) { return "", false }
