//go:build race

package journal

// defaultEdits is how many random edits each property test makes. The race
// detector makes each several times slower.
const defaultEdits = 200
