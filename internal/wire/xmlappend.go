package wire

import (
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendElement appends <name>text</name>, with the text escaped. The name must
// be a valid one.
func AppendElement(dst []byte, name, text string) []byte {
	return AppendEnd(appendXMLText(AppendStart(dst, name), text), name)
}

// AppendStart appends <name>.
func AppendStart(dst []byte, name string) []byte {
	dst = append(append(dst, '<'), name...)
	return append(dst, '>')
}

// AppendEnd appends </name>.
func AppendEnd(dst []byte, name string) []byte {
	dst = append(append(dst, '<', '/'), name...)
	return append(dst, '>')
}

// AppendIntElement appends a whole number as an element.
func AppendIntElement(dst []byte, name string, n int64) []byte {
	return AppendEnd(strconv.AppendInt(AppendStart(dst, name), n, 10), name)
}

// AppendBoolElement appends "true" or "false" as an element.
func AppendBoolElement(dst []byte, name string, b bool) []byte {
	return AppendEnd(strconv.AppendBool(AppendStart(dst, name), b), name)
}

// AppendBlobElement appends bytes as an element in base64.
func AppendBlobElement(dst []byte, name string, b []byte) []byte {
	return AppendEnd(appendBase64(AppendStart(dst, name), b), name)
}

// SortedKeys returns the keys of m in order, in which maps are answered.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// AppendTimeElement appends t as an element in ISO 8601, to the second as STS
// answers, with milliseconds where t has some.
func AppendTimeElement(dst []byte, name string, t time.Time) []byte {
	layout := "2006-01-02T15:04:05Z"
	if t.UnixMilli()%1000 != 0 {
		layout = "2006-01-02T15:04:05.000Z"
	}
	return AppendEnd(t.UTC().AppendFormat(AppendStart(dst, name), layout), name)
}

// appendXMLText escapes s for an element's content. Characters that XML 1.0
// (section 2.2) cannot carry, and bytes that are not UTF-8, become U+FFFD.
func appendXMLText(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r == '\r': // a bare one would be read back as a line feed
			dst = append(dst, "&#xD;"...)
		case r == '\t' || r == '\n' || r >= ' ' && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000:
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, "\uFFFD"...)
		}
	}
	return dst
}

// AppendQueryAnswer appends a successful answer of the query protocol around
// result, which is what an operation's encoder wrote.
func AppendQueryAnswer(dst []byte, operation, xmlNamespace, requestID string, result []byte) []byte {
	dst = append(append(dst, '<'), operation...)
	dst = append(dst, `Response xmlns="`...)
	dst = appendXMLText(dst, xmlNamespace)
	dst = append(dst, '"', '>')
	dst = append(dst, result...)
	dst = AppendStart(dst, "ResponseMetadata")
	dst = AppendElement(dst, "RequestId", requestID)
	dst = AppendEnd(dst, "ResponseMetadata")
	return AppendEnd(dst, operation+"Response")
}
