//go:build !race

package sigv4_test

// mostAllocs is what one verification may allocate.
const mostAllocs = 6
