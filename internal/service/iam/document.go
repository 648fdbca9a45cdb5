package iam

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/policy"
)

// Quotas of documents, in characters without white space (IAM quotas, "IAM and
// STS character limits").
const (
	maxManaged = 6144
	maxTrust   = 2048
)

// maxInline bounds all inline policies of one identity together.
var maxInline = map[kind]int{userKind: 2048, groupKind: 5120, roleKind: 10240}

// parseDocument checks a policy that someone gives.
func parseDocument(text string, k policy.Kind) (*policy.Document, error) {
	document, err := policy.Parse([]byte(text), k)
	var syntax *policy.SyntaxError
	if errors.As(err, &syntax) {
		return nil, api.MalformedPolicyDocumentException(syntax.Error())
	}
	return document, err
}

// size counts a document's characters as IAM's quotas do: without white space
// outside strings.
func size(document string) int {
	n := 0
	inString, escaped := false, false
	for i := 0; i < len(document); {
		r, width := utf8.DecodeRuneInString(document[i:])
		i += width
		switch {
		case inString:
			n++
			inString = r != '"' || escaped
			escaped = r == '\\' && !escaped
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
		default:
			n++
			inString = r == '"'
		}
	}
	return n
}

// escape writes a document as IAM answers it: percent-encoded by RFC 3986.
func escape(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}
