package main

import (
	"fmt"
	"slices"
)

// didYouMean is the hint for a name that is not among the known ones; it is empty
// when none is like it.
func didYouMean(name string, known []string) string {
	best, least := "", max(2, len(name)/4)+1
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// maxName bounds the names that are compared: the work is its square.
const maxName = 64

// distance counts the letters to insert, drop or replace to get from a to b.
func distance(a, b string) int {
	if len(a) > maxName || len(b) > maxName {
		return maxName
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
