//go:build !race

package journal

// edits is how many random edits each property test makes.
const edits = 10_000
