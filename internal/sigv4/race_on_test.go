//go:build race

package sigv4_test

// mostAllocs is larger under the race detector, where pools drop at random.
const mostAllocs = 16
