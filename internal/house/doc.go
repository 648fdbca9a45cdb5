// Package house holds the rules of the house as tests: who may import whom, where
// secrets and the clock may be touched, that every operation authorises and
// records, and that docs/deviations.md names what is missing.
package house
