package cloudhsm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
)

// token is where a list goes on behind an id or a tag's key. It is authenticated and
// bound to the operation, account and region that it was made for. A list of tags
// goes on at a place: a tag's key would not fit into the 256 characters of a token.
func (s *Service) token(call *authz.Call, after string) string {
	return base64.RawURLEncoding.EncodeToString(append(s.tokenTag(call, after), after...))
}

func (s *Service) tokenTag(call *authz.Call, after string) []byte {
	mac := hmac.New(sha256.New, s.MarkerKey)
	for _, part := range []string{"cloudhsm", call.Operation, call.Principal.Account, call.Region, after} {
		mac.Write([]byte(part))
		mac.Write([]byte{0})
	}
	return mac.Sum(nil)
}

// openToken returns where a list goes on; "" from the start.
func (s *Service) openToken(call *authz.Call, token *string) (after string, err error) {
	if token == nil || *token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*token)
	if err != nil || len(raw) <= sha256.Size {
		return "", errToken
	}
	after = string(raw[sha256.Size:])
	if !hmac.Equal(s.tokenTag(call, after), raw[:sha256.Size]) {
		return "", errToken
	}
	return after, nil
}

var errToken = api.CloudHsmInvalidRequestException("The NextToken is not one that this operation has answered.")
