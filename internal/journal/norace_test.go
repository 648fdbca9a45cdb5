//go:build !race

package journal

// defaultEdits is how many random edits each property test makes.
const defaultEdits = 10_000
