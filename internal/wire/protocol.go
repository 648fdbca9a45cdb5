package wire

// Protocol is how a service's requests and answers are written.
type Protocol uint8

const (
	AWSJSON11 Protocol = iota // X-Amz-Target and application/x-amz-json-1.1
	AWSQuery                  // Action and Version in a form, XML answers
)

// The content types of answers.
const (
	ContentTypeJSON11 = "application/x-amz-json-1.1"
	ContentTypeXML    = "text/xml"
)

// ContentType returns the content type of the protocol's answers.
func (p Protocol) ContentType() string {
	if p == AWSQuery {
		return ContentTypeXML
	}
	return ContentTypeJSON11
}
