//go:build !linux || android

package main

func classify(err error) error { return err }

func explainPrivilege(error, bool) (string, bool) { return "", false }
