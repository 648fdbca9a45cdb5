package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 2, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"2026-01-31":                "2026-01-31T00:00:00Z",
		"2026-01-31T13:00:00Z":      "2026-01-31T13:00:00Z",
		"2026-01-31T13:00:00+02:00": "2026-01-31T11:00:00Z",
		"90m":                       "2026-02-01T09:30:00Z",
		"24h":                       "2026-01-31T11:00:00Z",
		"7d":                        "2026-01-25T11:00:00Z",
		"0d":                        "2026-02-01T11:00:00Z",
	} {
		got, err := parseTime(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "d", "-1d", "1.5d", "-1h", "2026-13-01", "2026-01-31 13:00", "99999999d", "7", "1d2h"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

const hostile = "{\"eventTime\":\"2026-01-02T03:04:05Z\",\"eventSource\":\"kms.amazonaws.com\",\"eventName\":\"Decrypt\",\"errorCode\":\"AccessDenied\"," +
	"\"userIdentity\":{\"arn\":\"arn:aws:iam::000000000000:user/\u202eann\u009b2J\\u001b[2J\\nx\"},\"sourceIPAddress\":\"127.0.0.1\",\"userAgent\":\"\U000e0001é\"," +
	"\"resources\":[{\"ARN\":\"arn:aws:kms:us-east-1:000000000000:key/k\"}]}"

func TestNothingInARecordReachesATerminal(t *testing.T) {
	show := func(format string, terminal bool) string {
		t.Helper()
		var out bytes.Buffer
		if err := (formatFlag{Format: format}).printer(&out, terminal)([]byte(hostile)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	const line = "2026-01-02T03:04:05Z  kms:Decrypt           AccessDenied  arn:aws:iam::000000000000:user/\ufffdann\ufffd2J\ufffd[2J x  127.0.0.1  arn:aws:kms:us-east-1:000000000000:key/k\n"
	for _, test := range []struct {
		format   string
		terminal bool
		want     string
	}{{"", false, hostile + "\n"}, {"json", false, hostile + "\n"}, {"", true, line}, {"line", true, line}, {"line", false, line}} {
		if got := show(test.format, test.terminal); got != test.want {
			t.Errorf("%q, terminal %v: got\n%q, want\n%q", test.format, test.terminal, got, test.want)
		}
	}
	escaped := show("json", true)
	if printable(escaped) != escaped {
		t.Errorf("on a terminal: %q", escaped)
	}
	var before, after any
	if json.Unmarshal([]byte(hostile), &before) != nil || json.Unmarshal([]byte(escaped), &after) != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("escaping has changed the record: %s", escaped)
	}
	if !strings.Contains(escaped, "é") {
		t.Errorf("a letter was escaped: %s", escaped)
	}
}

func TestSummaryOfBareRecords(t *testing.T) {
	for record, want := range map[string]string{
		`{}`: "                      :                     ok            -",
		`{"eventName":"DeleteKey","eventSource":"kms.amazonaws.com","userIdentity":{"invokedBy":"AWS Internal"}}`: "                      kms:DeleteKey         ok            AWS Internal",
		`{"userIdentity":{"type":"AWSAccount"}}`: "                      :                     ok            AWSAccount",
	} {
		if got, err := summary([]byte(record)); err != nil || got != want {
			t.Errorf("%s: got %q, %v", record, got, err)
		}
	}
	if _, err := summary([]byte("[]")); err == nil {
		t.Error("[] is taken for a record")
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	a := &app{stderr: &out, stderrIsTerminal: true, now: func() time.Time { return now }}
	p := newProgress(a, "records")
	p.show(1, 10)
	now = now.Add(pause)
	p.show(2, 10)
	p.show(3, 10)
	now = now.Add(pause)
	p.show(4, 0)
	p.done()
	if got, want := out.String(), "\r\x1b[K2 of 10 records\r\x1b[K4 records\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	a.stderrIsTerminal = false
	p = newProgress(a, "records")
	now = now.Add(time.Hour)
	p.show(1, 2)
	p.done()
	if out.Len() != 0 {
		t.Errorf("without a terminal: %q", &out)
	}
}
