package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// formatFlag chooses how records are shown.
type formatFlag struct {
	Format string `enum:",json,line" default:"" placeholder:"FORM" help:"json: one JSON record a line; line: what a person wants to know first. Default: line on a terminal, json elsewhere."`
}

// printer returns what prints one record on out.
func (f formatFlag) printer(out io.Writer, terminal bool) func(record []byte) error {
	switch {
	case f.Format == "line", f.Format == "" && terminal:
		return func(record []byte) error {
			line, err := summary(record)
			if err != nil {
				return err
			}
			return writeLine(out, []byte(line))
		}
	case terminal:
		return func(record []byte) error { return writeLine(out, escapeUnprintable(record)) }
	}
	return func(record []byte) error { return writeLine(out, record) }
}

// writeLine writes a line at once, so that a reader never has half of one. The
// line is copied: it is its owner's, and so is what lies behind it.
func writeLine(w io.Writer, line []byte) error {
	_, err := w.Write(slices.Concat(line, []byte{'\n'}))
	return err
}

// escapeUnprintable is the same JSON with every character escaped that could move
// a terminal's cursor or reorder its text. A caller chooses its user agent and its
// encryption context; it must not choose what the reader of the trail sees.
func escapeUnprintable(record []byte) []byte {
	var out []byte
	for _, r := range string(record) {
		switch {
		case unicode.IsPrint(r):
			out = append(out, string(r)...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// summary is what a person wants to know first of a record: when, what, how it
// ended, who, from where and on which key.
func summary(record []byte) (string, error) {
	var r struct {
		EventTime    string `json:"eventTime"`
		EventSource  string `json:"eventSource"`
		EventName    string `json:"eventName"`
		ErrorCode    string `json:"errorCode"`
		SourceIP     string `json:"sourceIPAddress"`
		UserIdentity struct {
			ARN       string `json:"arn"`
			Type      string `json:"type"`
			InvokedBy string `json:"invokedBy"`
		} `json:"userIdentity"`
		Resources []struct {
			ARN string `json:"ARN"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(record, &r); err != nil {
		return "", fmt.Errorf("the trail has a record that is not one: %w", err)
	}
	service, _, _ := strings.Cut(r.EventSource, ".")
	outcome := "ok"
	if r.ErrorCode != "" {
		outcome = r.ErrorCode
	}
	who := r.UserIdentity.ARN
	for _, otherwise := range []string{r.UserIdentity.InvokedBy, r.UserIdentity.Type, "-"} {
		if who == "" {
			who = otherwise
		}
	}
	fields := []string{fmt.Sprintf("%-20s", r.EventTime), fmt.Sprintf("%-20s", service+":"+r.EventName), fmt.Sprintf("%-12s", outcome), who, r.SourceIP}
	for _, resource := range r.Resources {
		fields = append(fields, resource.ARN)
	}
	return strings.TrimRight(printable(strings.ReplaceAll(strings.Join(fields, "  "), "\n", " ")), " "), nil
}
