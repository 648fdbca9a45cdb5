package kms

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

const third = "ap-south-1"

// multiRegional returns a harness of three regions and a primary key in the first.
func multiRegional(t *testing.T) (h *harness, id string) {
	t.Helper()
	h = newHarness(t)
	h.config.Regions = []string{region, second, third}
	h.restart()
	return h, h.primary()
}

func (h *harness) primary() string {
	h.t.Helper()
	return h.key(m{"MultiRegion": true})["KeyId"].(string)
}

// replicate makes a replica and lets the worker finish it.
func (h *harness) replicate(id, to string) *harness {
	h.t.Helper()
	h.ok(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": to})
	h.work()
	return h.in(to)
}

func arnIn(region, id string) string { return keyARN("aws", region, account, id) }

func namedParts(id string, regions ...string) []m {
	keys := []m{}
	for _, r := range regions {
		keys = append(keys, m{"Arn": arnIn(r, id), "Region": r})
	}
	return keys
}

func TestCreateMultiRegionKey(t *testing.T) {
	h := newHarness(t)
	k := h.key(m{"MultiRegion": true})
	id := k["KeyId"].(string)
	if len(id) != 36 || !strings.HasPrefix(id, "mrk-") || strings.Trim(id[4:], "0123456789abcdef") != "" {
		t.Errorf("key id %q", id)
	}
	equal(t, "MultiRegion", k["MultiRegion"], true)
	equal(t, "configuration", k["MultiRegionConfiguration"],
		m{"MultiRegionKeyType": "PRIMARY", "PrimaryKey": namedParts(id, region)[0], "ReplicaKeys": []m{}})
	single := h.key(m{"MultiRegion": false})
	if _, has := single["MultiRegionConfiguration"]; has || single["MultiRegion"] != false {
		t.Errorf("a single-Region key: %v", single)
	}
}

func TestReplicateKey(t *testing.T) {
	h, id := multiRegional(t)
	h.ok(root, "UpdateKeyDescription", m{"KeyId": id, "Description": "the primary"})
	h.ok(root, "TagResource", m{"KeyId": id, "Tags": []m{{"TagKey": "a", "TagValue": "1"}}})
	out := h.ok(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second})
	k := out["ReplicaKeyMetadata"].(m)
	for name, want := range map[string]any{
		"Arn": arnIn(second, id), "KeyId": id, "KeyState": "Creating", "Enabled": false, "Description": "", "MultiRegion": true,
		"MultiRegionConfiguration": m{"MultiRegionKeyType": "REPLICA", "PrimaryKey": namedParts(id, region)[0], "ReplicaKeys": namedParts(id, second)},
		"CurrentKeyMaterialId":     nil,
	} {
		equal(t, name, k[name], want)
	}
	equal(t, "policy", out["ReplicaPolicy"], defaultPolicy("aws", account))
	if _, has := out["ReplicaTags"]; has {
		t.Errorf("ReplicaTags of none: %v", out["ReplicaTags"])
	}
	there := h.in(second)
	h.restart()
	there.service, there.gateway = h.service, h.gateway
	there.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="}, "KMSInvalidStateException", arnIn(second, id)+" is creating.")
	h.work()
	equal(t, "state", there.metadata(id)["KeyState"], "Enabled")
	equal(t, "material", there.metadata(id)["CurrentKeyMaterialId"], h.metadata(id)["CurrentKeyMaterialId"])

	out = h.ok(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": third, "Description": "mine",
		"Policy": keyPolicy(allow(userARN, "kms:Encrypt", nil)), "Tags": []m{{"TagKey": "b", "TagValue": "2"}}})
	equal(t, "tags", out["ReplicaTags"], []m{{"TagKey": "b", "TagValue": "2"}})
	h.work()
	equal(t, "description", h.in(third).metadata(id)["Description"], "mine")
	equal(t, "the primary's description", h.metadata(id)["Description"], "the primary")
	h.in(third).ok(user, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="})
	if a := h.send(user, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="}); a.code != "AccessDeniedException" {
		t.Errorf("the replica's policy holds for the primary: %+v", a)
	}
	for _, r := range h.config.Regions {
		c := h.in(r).metadata(id)["MultiRegionConfiguration"].(m)
		equal(t, r+" primary", c["PrimaryKey"], namedParts(id, region)[0])
		equal(t, r+" replicas are sorted", c["ReplicaKeys"], namedParts(id, third, second))
		kind := "REPLICA"
		if r == region {
			kind = "PRIMARY"
		}
		equal(t, r+" type", c["MultiRegionKeyType"], kind)
	}
}

func TestReplicateKeyRefusals(t *testing.T) {
	h, id := multiRegional(t)
	h.config.Regions = append(h.config.Regions, "cn-north-1")
	h.restart()
	single, singleARN := h.keyID()
	h.replicate(id, second)
	validation := func(to, message string) {
		t.Helper()
		h.fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": to}, "ValidationException", message)
	}
	validation(region, "us-east-1 cannot have a replica because it contains the primary.")
	validation("cn-north-1", "The replica key Region must be in the same AWS partition as the primary key Region.")
	validation("eu-west-9", "Region eu-west-9 is not a valid Region or multi-Region keys are not supported in Region eu-west-9.")
	exists := "You can create only one replica of each primary key in each AWS Region."
	h.fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second}, "AlreadyExistsException", exists)
	h.in(second).ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second}, "AlreadyExistsException", exists)
	h.fails(root, "ReplicateKey", m{"KeyId": single, "ReplicaRegion": second}, "UnsupportedOperationException", singleARN+" is not a multi-region primary key.")
	h.in(second).fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": third}, "UnsupportedOperationException", arnIn(second, id)+" is not a multi-region primary key.")
	for _, operation := range []string{"ReplicateKey", "UpdatePrimaryRegion"} {
		h.fails(root, operation, m{"KeyId": "alias/none", "ReplicaRegion": second, "PrimaryRegion": second}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	}
	h.fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": third, "Tags": []m{{"TagKey": "aws:x", "TagValue": ""}}}, "TagException", "Tags beginning with aws: are reserved")
	h.fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": third, "Policy": `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + userARN + `"},"Action":"kms:*","Resource":"*"}]}`},
		"MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	equal(t, "nothing was made", h.metadata(id)["MultiRegionConfiguration"].(m)["ReplicaKeys"], namedParts(id, second))
}

func TestMultiRegionStates(t *testing.T) {
	h, _ := multiRegional(t)
	make := func() (string, string) {
		id := h.primary()
		return id, arnIn(region, id)
	}
	h.cells("ReplicateKey", []cell{"", "D", "S", "S", "S", "S", "S", "S"}, m{"ReplicaRegion": second}, make)
	h.cells("UpdatePrimaryRegion", []cell{"", "D", "S", "S", "S", "S", "S", ""}, m{"PrimaryRegion": region}, make)
	h.cells("UpdatePrimaryRegion", []cell{"", "D", "S", "S", "S", "S", "S", ""}, m{"PrimaryRegion": second}, func() (string, string) {
		id, arn := make()
		h.replicate(id, second)
		return id, arn
	})
}

// TestReplicationPermissions: on the primary key as kms:ReplicateKey, and as
// kms:CreateKey and kms:TagResource where the replica is made.
func TestReplicationPermissions(t *testing.T) {
	create := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateKey"],"Resource":"*"` + condition + `}]}`
	}
	replica := allow(userARN, []string{"kms:ReplicateKey", "kms:PutKeyPolicy"}, m{"StringEquals": m{"kms:ReplicaRegion": second}})
	for _, c := range []struct {
		name           string
		policy, caller string
		in             m
		denied         string // the action, "" when it works
	}{
		{"both", keyPolicy(replica), create(""), m{}, ""},
		{"no ReplicateKey", keyPolicy(), create(""), m{}, "kms:ReplicateKey"},
		{"another replica region", keyPolicy(replica), create(""), m{"ReplicaRegion": third}, "kms:ReplicateKey"},
		{"no CreateKey", keyPolicy(replica), "", m{}, "kms:CreateKey"},
		{"CreateKey there alone", keyPolicy(replica), create(`,"Condition":{"StringEquals":{"aws:RequestedRegion":"` + second + `"}}`), m{}, ""},
		{"CreateKey here alone", keyPolicy(replica), create(`,"Condition":{"StringEquals":{"aws:RequestedRegion":"` + region + `"}}`), m{}, "kms:CreateKey"},
		{"CreateKey of replicas", keyPolicy(replica), create(`,"Condition":{"StringEquals":{"kms:MultiRegionKeyType":"REPLICA"},"Bool":{"kms:MultiRegion":"true"}}`), m{}, ""},
		{"CreateKey of primaries", keyPolicy(replica), create(`,"Condition":{"StringEquals":{"kms:MultiRegionKeyType":"PRIMARY"}}`), m{}, "kms:CreateKey"},
		{"tags without TagResource", keyPolicy(replica), create(""), m{"Tags": []m{{"TagKey": "a", "TagValue": "b"}}}, "kms:TagResource"},
		{"ReplicateKey on primaries", keyPolicy(allow(userARN, "kms:ReplicateKey", m{"StringEquals": m{"kms:MultiRegionKeyType": "PRIMARY"}})), create(""), m{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := multiRegional(t)
			id := h.key(m{"MultiRegion": true, "Policy": c.policy})["KeyId"].(string)
			h.identity[userARN] = c.caller
			in := m{"KeyId": id, "ReplicaRegion": second, "BypassPolicyLockoutSafetyCheck": true}
			for k, v := range c.in {
				in[k] = v
			}
			a := h.send(user, "ReplicateKey", in)
			if c.denied == "" {
				if a.status != 200 {
					t.Errorf("%+v", a)
				}
				return
			}
			if a.code != "AccessDeniedException" || !strings.Contains(a.message, "perform: "+c.denied+" on") {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestCreateKeyMultiRegionConditions(t *testing.T) {
	h := newHarness(t)
	h.identity[userARN] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*",
		"Condition":{"StringEquals":{"kms:MultiRegionKeyType":"PRIMARY"},"Bool":{"kms:MultiRegion":"true"}}}]}`
	h.ok(user, "CreateKey", m{"MultiRegion": true, "BypassPolicyLockoutSafetyCheck": true})
	if a := h.send(user, "CreateKey", m{"BypassPolicyLockoutSafetyCheck": true}); a.code != "AccessDeniedException" {
		t.Errorf("a single-Region key: %+v", a)
	}
}

func TestCiphertextsOpenInSiblingRegions(t *testing.T) {
	h, id := multiRegional(t)
	there := h.replicate(id, second)
	for _, from := range []*harness{h, there} {
		to := h
		if from == h {
			to = there
		}
		blob := from.encrypt(id)
		for _, name := range []any{nil, id, arnIn(to.region, id)} {
			in := m{"CiphertextBlob": blob}
			if name != nil {
				in["KeyId"] = name
			}
			out := to.ok(root, "Decrypt", in)
			equal(t, fmt.Sprint("key named ", name), out["KeyId"], arnIn(to.region, id))
		}
		to.fails(root, "Decrypt", m{"CiphertextBlob": blob, "KeyId": arnIn(from.region, id)}, "IncorrectKeyException",
			"The key ID in the request does not identify a CMK that can perform this operation.")
		data := from.ok(root, "GenerateDataKey", m{"KeyId": id, "KeySpec": "AES_256"})
		equal(t, "data key", to.ok(root, "Decrypt", m{"CiphertextBlob": data["CiphertextBlob"]})["Plaintext"], data["Plaintext"])
		back := to.ok(root, "ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": id})
		equal(t, "re-encrypted", from.ok(root, "Decrypt", m{"CiphertextBlob": back["CiphertextBlob"]})["Plaintext"], "eA==")
	}
	h.in(third).fails(root, "Decrypt", m{"CiphertextBlob": h.encrypt(id)}, "AccessDeniedException",
		"User: arn:aws:iam::"+account+":root is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access")
	blob := h.encrypt(id)
	h.ok(root, "DisableKey", m{"KeyId": id})
	there.opens(blob)
	there.encrypt(id)
	equal(t, "the replica is enabled by itself", there.metadata(id)["KeyState"], "Enabled")
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "DisabledException", arnIn(region, id)+" is disabled.")
}

func TestEachKeyHasItsOwn(t *testing.T) {
	h, id := multiRegional(t)
	there := h.replicate(id, second)
	there.ok(root, "CreateAlias", m{"AliasName": "alias/mine", "TargetKeyId": id})
	h.fails(root, "Encrypt", m{"KeyId": "alias/mine", "Plaintext": "eA=="}, "NotFoundException", "Alias arn:aws:kms:us-east-1:"+account+":alias/mine is not found.")
	there.ok(root, "TagResource", m{"KeyId": id, "Tags": []m{{"TagKey": "a", "TagValue": "1"}}})
	equal(t, "tags", h.ok(root, "ListResourceTags", m{"KeyId": id})["Tags"], []m{})
	there.ok(root, "UpdateKeyDescription", m{"KeyId": id, "Description": "there"})
	equal(t, "description", h.metadata(id)["Description"], "")
	policy := keyPolicy(allow(userARN, "kms:Encrypt", nil))
	there.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": policy})
	equal(t, "policy", h.ok(root, "GetKeyPolicy", m{"KeyId": id})["Policy"], defaultPolicy("aws", account))
	there.ok(root, "DisableKey", m{"KeyId": id})
	h.encrypt(id)
}

func TestRotationIsShared(t *testing.T) {
	h, id := multiRegional(t)
	there := h.replicate(id, second)
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	late := h.replicate(id, third)
	all := []*harness{h, there, late}
	statuses := func(what string) {
		t.Helper()
		want := h.status(id)
		for _, r := range all {
			want["KeyId"] = arnIn(r.region, id)
			equal(t, what+" in "+r.region, r.status(id), want)
		}
	}
	statuses("status")
	for operation, in := range map[string]m{"EnableKeyRotation": {}, "DisableKeyRotation": {}, "RotateKeyOnDemand": {}} {
		in["KeyId"] = id
		there.fails(root, operation, in, "UnsupportedOperationException", arnIn(second, id)+" is a multi-region replica key which is not valid for "+operation+".")
	}
	first := there.encrypt(id)
	there.ok(root, "DisableKey", m{"KeyId": id}) // takes no replica out of the rotation
	h.clock.Advance(90 * day)
	h.journal.taken(t)
	h.work()
	records := h.journal.taken(t)
	if len(records) != 2 || records[0]["eventName"] != "RotateKey" || records[1]["eventName"] != "SynchronizeMultiRegionKey" {
		t.Fatalf("records: %v", records)
	}
	equal(t, "synchronisation", records[1]["responseElements"], m{"keyId": arnIn(region, id)})
	equal(t, "its resource", resources(records[1]), []string{arnIn(region, id)})
	if records[0]["eventID"] == records[1]["eventID"] {
		t.Error("two records have one event id")
	}
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	statuses("on demand")
	h.work()
	statuses("after")
	there.ok(root, "EnableKey", m{"KeyId": id})
	h.clock.Advance(day)
	h.work()
	current := h.metadata(id)["CurrentKeyMaterialId"].(string)
	for _, r := range all {
		list := r.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"})
		want := h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"})
		for i := range want {
			want[i]["KeyId"] = arnIn(r.region, id)
		}
		equal(t, "history in "+r.region, list, want)
		if len(list) != 3 {
			t.Errorf("%s has %d materials, want 3", r.region, len(list))
		}
		if r.opens(first) == current {
			t.Errorf("%s: the first ciphertext was opened with the current material", r.region)
		}
		for _, other := range all {
			equal(t, "material of a new ciphertext", other.opens(r.encrypt(id)), current)
		}
	}
	h.ok(root, "DisableKeyRotation", m{"KeyId": id})
	statuses("off")
}

func TestUpdatePrimaryRegion(t *testing.T) {
	h, id := multiRegional(t)
	there := h.replicate(id, second)
	h.replicate(id, third)
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	if body := h.ok(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": region}); body != nil {
		t.Errorf("body: %v", body)
	}
	equal(t, "the present primary stays", h.metadata(id)["KeyState"], "Enabled")
	there.fails(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": second}, "KMSInvalidStateException", arnIn(second, id)+" is not a multi-Region primary key.")
	h.fails(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": "eu-west-9"}, "ValidationException", id+" does not have a replica key in the specified Region.")
	single, singleARN := h.keyID()
	h.fails(root, "UpdatePrimaryRegion", m{"KeyId": single, "PrimaryRegion": second}, "UnsupportedOperationException", singleARN+" is not a multi-Region primary key.")
	there.ok(root, "DisableKey", m{"KeyId": id})
	h.fails(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": second}, "DisabledException", arnIn(second, id)+" is disabled.")
	there.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.fails(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": second}, "KMSInvalidStateException", arnIn(second, id)+" is pending deletion.")
	there.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	there.ok(root, "EnableKey", m{"KeyId": id})

	h.journal.taken(t)
	h.ok(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": second})
	records := h.journal.taken(t)
	if len(records) != 2 {
		t.Fatalf("records: %v", records)
	}
	ids := map[any]bool{}
	for _, r := range records {
		in := r["awsRegion"].(string)
		ids[r["eventID"]] = true
		equal(t, "name", r["eventName"], "UpdatePrimaryRegion")
		equal(t, "parameters", r["requestParameters"], m{"keyId": id, "primaryRegion": second})
		equal(t, "response", r["responseElements"], m{"keyId": arnIn(in, id)})
		equal(t, "resources", resources(r), []string{arnIn(in, id)})
		equal(t, "caller", r["userIdentity"].(m)["type"], "Root")
	}
	if records[0]["awsRegion"] == records[1]["awsRegion"] || len(ids) != 2 {
		t.Errorf("not one record in each region: %v", records)
	}
	for _, r := range []*harness{h, there} {
		equal(t, "state", r.metadata(id)["KeyState"], "Updating")
		r.encrypt(id) // works meanwhile
	}
	equal(t, "the third region", h.in(third).metadata(id)["KeyState"], "Enabled")
	h.restart()
	there.service, there.gateway = h.service, h.gateway
	h.journal.taken(t)
	h.work()
	if got := h.events("SynchronizeMultiRegionKey"); len(got) != 1 || got[0]["awsRegion"] != second {
		t.Errorf("synchronisation: %v", got)
	}
	for _, r := range []*harness{h, there, h.in(third)} {
		k := r.metadata(id)
		c := k["MultiRegionConfiguration"].(m)
		equal(t, "state", k["KeyState"], "Enabled")
		equal(t, "primary", c["PrimaryKey"], namedParts(id, second)[0])
		equal(t, "replicas", c["ReplicaKeys"], namedParts(id, third, region))
	}
	// The new primary rotates; the old one is a replica now.
	h.clock.Advance(90 * day)
	h.work()
	if got := h.events("RotateKey"); len(got) != 1 || got[0]["awsRegion"] != second {
		t.Errorf("rotation: %v", got)
	}
	equal(t, "shared", h.metadata(id)["CurrentKeyMaterialId"], there.metadata(id)["CurrentKeyMaterialId"])
	h.fails(root, "EnableKeyRotation", m{"KeyId": id}, "UnsupportedOperationException", arnIn(region, id)+" is a multi-region replica key which is not valid for EnableKeyRotation.")
	there.ok(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": region})
}

// TestUpdatePrimaryTakesARunningRotationAlong: what RotateKeyOnDemand began goes on
// in the new primary's region.
func TestUpdatePrimaryTakesARunningRotationAlong(t *testing.T) {
	h, id := multiRegional(t)
	h.replicate(id, second)
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	h.ok(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": second})
	h.journal.taken(t)
	h.work()
	if got := h.events("RotateKey"); len(got) != 1 || got[0]["awsRegion"] != second {
		t.Errorf("rotation: %v", got)
	}
	if n := len(h.rotations(id, m{})); n != 1 {
		t.Errorf("%d rotations", n)
	}
}

func TestUpdatePrimaryNeedsBothPermissions(t *testing.T) {
	may := allow(userARN, "kms:UpdatePrimaryRegion", m{"StringEquals": m{"kms:PrimaryRegion": second}})
	for _, c := range []struct{ here, there, denied string }{
		{keyPolicy(may), keyPolicy(may), ""},
		{keyPolicy(), keyPolicy(may), region},
		{keyPolicy(may), keyPolicy(), second},
	} {
		h, _ := multiRegional(t)
		id := h.key(m{"MultiRegion": true, "Policy": c.here})["KeyId"].(string)
		h.ok(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second, "Policy": c.there})
		h.work()
		a := h.send(user, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": second})
		switch {
		case c.denied == "" && a.status != 200:
			t.Errorf("%+v", a)
		case c.denied != "" && (a.code != "AccessDeniedException" || !strings.Contains(a.message, arnIn(c.denied, id))):
			t.Errorf("denied in %s: %+v", c.denied, a)
		}
	}
}

func TestDeletionOfAMultiRegionKey(t *testing.T) {
	h, id := multiRegional(t)
	there := h.replicate(id, second)
	last := h.replicate(id, third)
	blob := h.encrypt(id)
	want := m{"KeyId": arnIn(region, id), "KeyState": "PendingReplicaDeletion", "PendingWindowInDays": 7}
	equal(t, "schedule", h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7}), want)
	k := h.metadata(id)
	if _, has := k["DeletionDate"]; has || k["PendingDeletionWindowInDays"] != 7.0 || k["Enabled"] != false {
		t.Errorf("metadata: %v", k)
	}
	h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id}, "KMSInvalidStateException", arnIn(region, id)+" is pending replica deletion.")
	equal(t, "cancel", h.ok(root, "CancelKeyDeletion", m{"KeyId": id}), m{"KeyId": arnIn(region, id)})
	equal(t, "cancelled", h.metadata(id)["KeyState"], "Disabled")
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})

	there.opens(blob) // replicas keep working
	there.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 10})
	h.clock.Advance(10 * day)
	h.restart()
	h.work()
	equal(t, "one replica is left", h.metadata(id)["KeyState"], "PendingReplicaDeletion")
	equal(t, "which one", h.metadata(id)["MultiRegionConfiguration"].(m)["ReplicaKeys"], namedParts(id, third))
	last.service, last.gateway = h.service, h.gateway
	last.opens(blob)
	last.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 8})
	h.clock.Advance(8 * day)
	h.work()
	k = h.metadata(id)
	equal(t, "the last replica is gone", k["KeyState"], "PendingDeletion")
	equal(t, "the window starts now", k["DeletionDate"], seconds(h.clock.Now().Add(7*day)))
	if _, has := k["PendingDeletionWindowInDays"]; has {
		t.Errorf("metadata: %v", k)
	}
	h.clock.Advance(7 * day)
	h.work()
	h.fails(root, "DescribeKey", m{"KeyId": id}, "NotFoundException", "Key '"+arnIn(region, id)+"' does not exist")
	if got := h.events("DeleteKey"); len(got) != 3 {
		t.Errorf("%d DeleteKey records, want 3", len(got))
	}
}

// TestAReplicaThatIsDeletedMakesRoom: the region can get a replica again.
func TestAReplicaThatIsDeletedMakesRoom(t *testing.T) {
	h, id := multiRegional(t)
	there := h.replicate(id, second)
	blob := there.encrypt(id)
	there.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.clock.Advance(7 * day)
	h.work()
	equal(t, "replicas", h.metadata(id)["MultiRegionConfiguration"].(m)["ReplicaKeys"], []m{})
	h.opens(blob)
	h.replicate(id, second).opens(blob)
}

func TestReplicateKeyRecords(t *testing.T) {
	h, id := multiRegional(t)
	h.journal.taken(t)
	h.ok(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second, "Description": "there"})
	records := h.journal.taken(t)
	if len(records) != 2 {
		t.Fatalf("%d records: %v", len(records), records)
	}
	create, replicate := records[0], records[1]
	if create["eventName"] != "CreateKey" {
		create, replicate = replicate, create
	}
	equal(t, "ReplicateKey", []any{replicate["eventName"], replicate["awsRegion"], replicate["readOnly"], replicate["eventType"]},
		[]any{"ReplicateKey", region, false, "AwsApiCall"})
	equal(t, "parameters", replicate["requestParameters"], m{"keyId": id, "replicaRegion": second, "bypassPolicyLockoutSafetyCheck": false, "description": "there"})
	equal(t, "replica", replicate["responseElements"].(m)["replicaKeyMetadata"].(m)["arn"], arnIn(second, id))
	equal(t, "CreateKey", []any{create["eventName"], create["awsRegion"], create["eventType"], create["userIdentity"].(m)["arn"]},
		[]any{"CreateKey", second, "AwsApiCall", "arn:aws:iam::" + account + ":root"})
	equal(t, "resources", resources(create), []string{arnIn(second, id)})
	equal(t, "one call", create["requestID"], replicate["requestID"])
	if create["eventID"] == replicate["eventID"] {
		t.Error("two records have one event id")
	}
	equal(t, "CreateKey parameters", create["requestParameters"].(m)["multiRegion"], true)
	equal(t, "CreateKey response", create["responseElements"].(m)["keyMetadata"].(m)["keyState"], "Creating")
	h.work()
	r := h.only()
	equal(t, "synchronisation", []any{r["eventName"], r["awsRegion"], r["eventType"]}, []any{"SynchronizeMultiRegionKey", region, "AwsServiceEvent"})
	// A refused call leaves nothing in the other region.
	h.send(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second})
	if r := h.only(); r["errorCode"] != "AlreadyExistsException" {
		t.Errorf("refused: %v", r)
	}
}

// TestReplicatingTwiceAtOnce: one call wins, and the key is whole.
func TestReplicatingTwiceAtOnce(t *testing.T) {
	h, id := multiRegional(t)
	codes := make(chan string, 8)
	var calls sync.WaitGroup
	for i := range cap(codes) {
		calls.Go(func() {
			codes <- h.send(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": []string{second, third}[i%2]}).code
		})
	}
	calls.Wait()
	close(codes)
	count := map[string]int{}
	for code := range codes {
		count[code]++
	}
	equal(t, "outcomes", count, map[string]int{"": 2, "AlreadyExistsException": 6})
	h.work()
	for _, r := range h.config.Regions {
		equal(t, r, h.in(r).metadata(id)["MultiRegionConfiguration"].(m)["ReplicaKeys"], namedParts(id, third, second))
		equal(t, r, h.in(r).metadata(id)["KeyState"], string(api.KeyStateEnabled))
	}
}

// TestReplicasUnderUse moves the primary and rotates while all regions encrypt and
// decrypt each other's.
func TestReplicasUnderUse(t *testing.T) {
	h, id := multiRegional(t)
	h.replicate(id, second)
	done := make(chan struct{})
	var users sync.WaitGroup
	for i, from := range []string{region, second} {
		there, here := h.in([]string{second, region}[i]), h.in(from)
		users.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				enc := here.send(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="})
				if enc.status != 200 {
					t.Errorf("Encrypt: %+v", enc)
					return
				}
				if dec := there.send(root, "Decrypt", m{"CiphertextBlob": enc.body["CiphertextBlob"]}); dec.status != 200 {
					t.Errorf("Decrypt: %+v", dec)
					return
				}
			}
		})
	}
	at := region
	for i := range 6 {
		to := []string{second, region}[i%2]
		h.in(at).ok(root, "RotateKeyOnDemand", m{"KeyId": id})
		h.in(at).ok(root, "UpdatePrimaryRegion", m{"KeyId": id, "PrimaryRegion": to})
		at = to
		h.work()
		h.clock.Advance(day)
	}
	close(done)
	users.Wait()
	if n := len(h.rotations(id, m{})); n != 6 {
		t.Errorf("%d rotations, want 6", n)
	}
}
