package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The config file: lines of `name = value`, where name is a flag without its
// dashes and value is what would follow it on the command line, to the end of the
// line. Empty lines and lines that begin with # say nothing. There is no quoting,
// no nesting and no second spelling, so that the file cannot say anything that
// the command line does not, and every mistake has a line.

// maxConfigFile is the longest config file, in bytes.
const maxConfigFile = 64 << 10

// configLine is a setting as the file has it.
type configLine struct {
	value string
	line  int // 1-based
}

// parseConfig reads a config file's text. known are the names that it may hold.
func parseConfig(text string, known []string) (map[string]configLine, error) {
	settings := map[string]configLine{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		refuse := func(hint, format string, args ...any) error {
			return &problem{what: fmt.Sprintf("line %d: ", number) + fmt.Sprintf(format, args...), hint: hint}
		}
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return nil, refuse("", "this is not text")
		}
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !found {
			return nil, refuse("lines look like: listen = 127.0.0.1:4566", "%q has no =", line)
		}
		if !slices.Contains(known, name) {
			return nil, refuse(didYouMean(name, known), "there is no setting %q", name)
		}
		if value == "" {
			return nil, refuse("leave the line out to have the default", "%s has no value", name)
		}
		if first, ok := settings[name]; ok {
			return nil, refuse("", "%s is set a second time; the first is on line %d", name, first.line)
		}
		settings[name] = configLine{value, number}
	}
	return settings, nil
}
