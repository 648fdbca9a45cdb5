package wire

import (
	"net/http"

	"github.com/strongroom/strongroom/internal/awserr"
)

// RenderError writes the answer that refuses a request. It is the one place that
// does: status, content type and body, as AWS's services write them in that
// protocol. xmlNamespace and requestID stand in bodies of the query protocol
// only; AWSJSON11 carries the request id in a header.
func RenderError(p Protocol, xmlNamespace string, e *awserr.Error, requestID string) (status int, contentType string, body []byte) {
	if p == AWSQuery {
		return renderQueryError(xmlNamespace, e, requestID)
	}
	body = append(body, `{"__type":`...)
	body = AppendString(body, e.Code)
	if e.Message != "" {
		body = append(body, `,"message":`...)
		body = AppendString(body, e.Message)
	}
	return e.HTTPStatus(), ContentTypeJSON11, append(body, '}')
}

func renderQueryError(xmlNamespace string, e *awserr.Error, requestID string) (int, string, []byte) {
	code, status := querySpelling(e)
	fault := "Sender"
	if e.Fault == awserr.Server {
		fault = "Receiver"
	}
	body := append([]byte(nil), `<ErrorResponse xmlns="`...)
	body = appendXMLText(body, xmlNamespace)
	body = append(body, `"><Error>`...)
	body = AppendElement(body, "Type", fault)
	body = AppendElement(body, "Code", code)
	if e.Message != "" {
		body = AppendElement(body, "Message", e.Message)
	}
	body = append(body, "</Error>"...)
	body = AppendElement(body, "RequestId", requestID)
	return status, ContentTypeXML, AppendEnd(body, "ErrorResponse")
}

// ErrorCode is the code that [RenderError] shows of e in that protocol.
func ErrorCode(p Protocol, e *awserr.Error) string {
	if p == AWSQuery {
		code, _ := querySpelling(e)
		return code
	}
	return e.Code
}

func querySpelling(e *awserr.Error) (code string, status int) {
	if e.QueryCode != "" {
		return e.QueryCode, e.HTTPStatus()
	}
	if spelling, ok := querySpellings[e.Code]; ok {
		return spelling.code, spelling.status
	}
	return e.Code, e.HTTPStatus()
}

// querySpellings are the errors that every service may raise, under the names of
// the JSON protocols, and how the query protocol spells and answers them. The
// errors of a query service's own model carry their spelling with them.
var querySpellings = map[string]struct {
	code   string
	status int
}{
	"AccessDeniedException":               {"AccessDenied", http.StatusForbidden},
	"ExpiredTokenException":               {"ExpiredToken", http.StatusForbidden},
	"IncompleteSignatureException":        {"IncompleteSignature", http.StatusBadRequest},
	"InternalFailure":                     {"InternalFailure", http.StatusInternalServerError},
	"InvalidSignatureException":           {"SignatureDoesNotMatch", http.StatusForbidden},
	"MissingAuthenticationTokenException": {"MissingAuthenticationToken", http.StatusForbidden},
	"SerializationException":              {"MalformedInput", http.StatusBadRequest},
	"ServiceUnavailableException":         {"ServiceUnavailable", http.StatusServiceUnavailable},
	"ThrottlingException":                 {"Throttling", http.StatusBadRequest},
	"UnknownOperationException":           {"InvalidAction", http.StatusBadRequest},
	"UnrecognizedClientException":         {"InvalidClientTokenId", http.StatusForbidden},
	"UnsupportedOperationException":       {"InvalidAction", http.StatusBadRequest},
	"ValidationException":                 {"ValidationError", http.StatusBadRequest},
}
