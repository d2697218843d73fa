//go:build !linux

package rawshake

// namespace is empty: only Linux has network namespaces that a thread can change.
func namespace() string { return "" }
