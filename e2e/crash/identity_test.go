package crash

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestIdentities holds what the client makes of answers: what counts as
// acknowledged must have a record, and nothing else need have.
func TestIdentities(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		body    string
		counted bool
		keys    int
		want    error // *queryError stands for any
	}{
		"done": {http.StatusOK, `<ListAccessKeysResponse xmlns="x"><ListAccessKeysResult><AccessKeyMetadata><member><AccessKeyId>A</AccessKeyId>` +
			`<Status>Active</Status></member></AccessKeyMetadata></ListAccessKeysResult></ListAccessKeysResponse>`, true, 1, nil},
		"refused":   {http.StatusNotFound, `<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>`, true, 0, &queryError{}},
		"nobody":    {http.StatusForbidden, `<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>`, false, 0, &queryError{}},
		"not now":   {http.StatusServiceUnavailable, `<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>`, false, 0, errGone},
		"no answer": {0, "", false, 0, errGone},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("x-amzn-requestid", "id")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body)) // the client says if it does not come
			}))
			defer s.Close()
			var counted []string
			i := &identities{url: s.URL, credentials: aws.Credentials{AccessKeyID: "A", SecretAccessKey: "S"},
				count: func(operation, requestID string) { counted = append(counted, operation+" "+requestID) }}
			a, err := i.iam(t.Context(), "ListAccessKeys", "someone")
			var refusal *queryError
			switch {
			case c.want == nil && (err != nil || len(a.Keys) != c.keys || a.Keys[0].Status != active):
				t.Errorf("%+v %v", a, err)
			case c.want == errGone && !errors.Is(err, errGone), c.want != nil && c.want != errGone && !errors.As(err, &refusal):
				t.Errorf("%v", err)
			}
			if c.counted != slices.Equal(counted, []string{"ListAccessKeys id"}) {
				t.Errorf("counted were %q", counted)
			}
		})
	}
}

func TestAbsent(t *testing.T) {
	other := &queryError{code: "AccessDenied"}
	for _, c := range []struct {
		err   error
		found string
		out   error
	}{{nil, "x", nil}, {&queryError{code: "NoSuchEntity"}, "", nil}, {other, "x", other}} {
		if found, err := absent("x", c.err); found != c.found || err != c.out {
			t.Errorf("%v: %q %v", c.err, found, err)
		}
	}
}
