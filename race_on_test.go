//go:build race

package rawshake_test

// raced tells that the race detector is on, which allocates, and makes everything slower and larger.
const raced = true
