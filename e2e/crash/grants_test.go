package crash

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func TestGrantCompare(t *testing.T) {
	g := &grant{name: "grant-1", id: "g"}
	whole := func() types.GrantListEntry {
		return types.GrantListEntry{
			GrantId: aws.String("g"), GranteePrincipal: aws.String(grantee),
			Operations:  []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationDecrypt},
			Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"grant": "grant-1"}},
		}
	}
	if err := g.compare(&key{}, whole()); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*types.GrantListEntry){
		"has id":             func(e *types.GrantListEntry) { e.GrantId = aws.String("h") },
		"is for":             func(e *types.GrantListEntry) { e.GranteePrincipal = nil },
		"allows":             func(e *types.GrantListEntry) { e.Operations = e.Operations[:1] },
		"has constraints":    func(e *types.GrantListEntry) { e.Constraints = nil },
		"has constraints &{": func(e *types.GrantListEntry) { e.Constraints.EncryptionContextSubset["grant"] = "grant-2" },
	} {
		found := whole()
		spoil(&found)
		if err := g.compare(&key{}, found); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
