package load

import (
	"bytes"
	"fmt"
	"strconv"
)

var (
	endOfHeader   = []byte("\r\n\r\n")
	contentLength = []byte("\ncontent-length:")
)

// answer looks at what has come of an answer, and returns how long it is; 0 while that
// cannot be told. An answer other than 200 is an error as soon as it is there.
func answer(text []byte) (size int, err error) {
	end := bytes.Index(text, endOfHeader)
	if end < 0 {
		return 0, nil
	}
	const version = len("HTTP/1.1 ")
	header, body := text[:end+2], text[end+len(endOfHeader):]
	if len(header) < version+3 {
		return 0, fmt.Errorf("not an answer: %q", header)
	}
	length, err := lengthOf(header)
	if err != nil {
		return 0, err
	}
	if string(header[version:version+3]) != "200" {
		if len(body) < length {
			return 0, nil
		}
		line, _, _ := bytes.Cut(header, []byte("\r\n"))
		return 0, fmt.Errorf("%s: %s", line, body[:length])
	}
	return end + len(endOfHeader) + length, nil
}

// lengthOf returns the Content-Length of a header.
func lengthOf(header []byte) (int, error) {
	for rest := header; ; {
		at := bytes.IndexByte(rest, '\n')
		if at < 0 || len(rest)-at <= len(contentLength) {
			return 0, fmt.Errorf("an answer without a length: %q", header)
		}
		line := rest[at:]
		if bytes.EqualFold(line[:len(contentLength)], contentLength) {
			value, _, _ := bytes.Cut(line[len(contentLength):], []byte("\r\n"))
			n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
			if err != nil {
				return 0, fmt.Errorf("an answer with a wrong length: %q", header)
			}
			return int(n), nil
		}
		rest = line[1:]
	}
}
