//go:build race

package journal

// edits is how many random edits each property test makes. The race detector
// makes each several times slower.
const edits = 200
