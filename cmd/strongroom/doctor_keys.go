package main

import (
	"encoding/json"
	"fmt"

	"github.com/strongroom/strongroom/internal/admin"
)

// countFindings counts one line of a key report.
func countFindings(found map[string]int, line []byte) error {
	var key admin.KeyFinding
	if err := json.Unmarshal(line, &key); err != nil {
		return fmt.Errorf("a line of the key report: %w", err)
	}
	for _, f := range key.Findings {
		found[f]++
	}
	return nil
}

// keyFindings are what a key report comes to.
func keyFindings(found map[string]int) (all []admin.Finding) {
	const advice = "strongroom audit report lists them"
	if n := found[admin.FindingStillUsed]; n > 0 {
		all = append(all, admin.Finding{Check: "keys", Level: admin.Wrong, Text: fmt.Sprintf("%s about to be deleted and in use", countKeys(n)), Advice: advice + "; aws kms cancel-key-deletion keeps one"})
	}
	if n := found[admin.FindingUnused]; n > 0 {
		all = append(all, admin.Finding{Check: "keys", Level: admin.Doubtful, Text: fmt.Sprintf("%s unused for a year", countKeys(n)), Advice: advice})
	}
	if n := found[admin.FindingNoRotation]; n > 0 {
		all = append(all, admin.Finding{Check: "keys", Level: admin.Fine, Text: fmt.Sprintf("%s not rotated automatically and could be; %s", countKeys(n), advice)})
	}
	if len(all) == 0 {
		all = append(all, admin.Finding{Check: "keys", Level: admin.Fine, Text: "no key wants anybody's attention"})
	}
	return all
}

func countKeys(n int) string {
	if n == 1 {
		return "1 key is"
	}
	return fmt.Sprintf("%d keys are", n)
}
