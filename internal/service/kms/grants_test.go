package kms

import "testing"

func TestAGrantAllowsItsGrantee(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	encrypt := m{"KeyId": arn, "Plaintext": plaintext}
	g.denied(user, "Encrypt", encrypt)
	grant, _ := g.grant(id, userARN, nil, "Encrypt")
	g.ok(user, "Encrypt", encrypt)
	g.denied(otherUser, "Encrypt", encrypt)
	g.denied(user, "DescribeKey", m{"KeyId": arn})
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	g.denied(user, "Encrypt", encrypt)
	if list := g.listed(id); len(list) != 0 {
		t.Errorf("grants after the only one was revoked: %v", list)
	}
}
