package kms

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/apigen/model"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// TestEveryModelledError has each operation that is built answer each error that its
// model lists, with the status of the model, and record it. What cannot be had is in
// unprovoked, with the reason: a gap is a failure.
func TestEveryModelledError(t *testing.T) {
	facts, err := model.Load("../../../models", "kms")
	if err != nil {
		t.Fatal(err)
	}
	for _, operation := range built(t) {
		t.Run(operation, func(t *testing.T) {
			for _, code := range facts.Operations[operation].Errors {
				provoke := provocations[operation][code]
				if provoke == nil {
					provoke = usual[code]
				}
				if why := cmp.Or(unprovoked[operation][code], unprovoked[""][code]); why != "" {
					if provocations[operation][code] != nil {
						t.Errorf("%s is provoked, and said to be unprovoked: %s", code, why)
					}
					continue
				}
				if provoke == nil {
					t.Errorf("say how %s is provoked, or why it cannot be", code)
					continue
				}
				status := http.StatusBadRequest
				if e := facts.Shapes[code].Error; e != nil && e.Status != 0 {
					status = e.Status
				}
				newHarness(t).provoked(operation, code, status, provoke)
			}
		})
	}
}

// provocation makes a request that is refused of one that would succeed; it may
// change what is there. message is what the refusal says; "*" where another test
// looks at that.
type provocation func(h *harness, p *provoked) (message string)

// provoked is a request of an operation on a key of its own.
type provoked struct {
	operation string
	in        m
	member    string // that names a key
	id, arn   string // of the key
}

func (h *harness) provoked(operation, code string, status int, provoke provocation) {
	h.t.Helper()
	id, arn := h.keyID()
	alias := "alias/sample"
	h.ok(root, "CreateAlias", m{"AliasName": alias, "TargetKeyId": id})
	p := &provoked{operation: operation, in: samples[operation](h, id), member: "KeyId", id: id, arn: arn}
	switch operation {
	case "CreateAlias", "UpdateAlias":
		p.member = "TargetKeyId"
	case "ReEncrypt":
		p.member = "DestinationKeyId"
	}
	if own, ok := p.in[p.member].(string); ok && own != id {
		p.id, p.arn = own, strings.Replace(arn, id, own, 1)
	}
	message := provoke(h, p)
	h.journal.taken(h.t)
	a := h.send(root, operation, p.in)
	if a.status != status || a.code != code || message != "*" && a.message != message {
		h.t.Errorf("%s of %v: %d %s %q, want %d %s %q", operation, p.in, a.status, a.code, a.message, status, code, message)
	}
	r := h.only()
	if r["eventName"] != operation || r["errorCode"] != a.code || a.message != "" && r["errorMessage"] != a.message || r["responseElements"] != nil {
		h.t.Errorf("%s with %s is recorded as %v", operation, a.code, r)
	}
}

// set returns the provocation that changes members.
func set(message string, members m) provocation {
	return func(_ *harness, p *provoked) string {
		for name, value := range members {
			p.in[name] = value
		}
		return message
	}
}

// state returns the provocation by a key that is in a state.
func state(s State) provocation {
	return func(h *harness, p *provoked) string {
		h.pending(p.id, s)
		if s == api.KeyStateDisabled {
			return p.arn + " is disabled."
		}
		return p.arn + " is " + stateMessages[s] + "."
	}
}

// unused is the provocation by a key that the operation is not for.
func unused(in m) provocation {
	return func(h *harness, p *provoked) string {
		k := h.key(in)
		p.in[p.member] = k["KeyId"]
		return k["Arn"].(string) + " key usage is " + in["KeyUsage"].(string) + " which is not valid for " + p.operation + "."
	}
}

var (
	anHMACKey = m{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
	aSigner   = m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
	badTags   = []m{{"TagKey": "aws:x", "TagValue": "v"}}
	noAliases = "Key Aliases are not supported for this operation."
	onAnHMAC  = func(h *harness, p *provoked) string { p.in["KeyId"] = h.key(anHMACKey)["KeyId"]; return "" }
	madeHere  = func(h *harness, p *provoked) string {
		p.in["KeyId"], p.arn = h.keyID()
		return p.arn + " origin is AWS_KMS which is not valid for this operation."
	}
)

// fullKey gives the key all the aliases that it can have.
func fullKey(h *harness, p *provoked) string {
	err := h.store.Update(h.t.Context(), func(tx *store.Tx) error {
		for i := range maxAliases {
			name := fmt.Sprintf("alias/full-%s-%d", p.id, i)
			if err := aliasRecords.Put(tx, scope(account, region), name, aliasRecord{Account: account, Region: region, Name: name, Target: p.id}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return "*"
}

// noMoreKeys lets the account have no keys beside those that it has.
func noMoreKeys(h *harness, _ *provoked) string {
	h.config.Limits = mustLimits(h.t, account+"/keys=0")
	h.restart()
	return "*"
}

// usual are the provocations that do for most operations.
var usual = map[string]provocation{
	"NotFoundException": func(_ *harness, p *provoked) string {
		p.in[p.member] = absentKey
		return "Key 'arn:aws:kms:us-east-1:" + account + ":key/" + absentKey + "' does not exist"
	},
	"InvalidArnException":             func(_ *harness, p *provoked) string { p.in[p.member] = "alias/sample"; return noAliases },
	"DisabledException":               state(api.KeyStateDisabled),
	"KMSInvalidStateException":        state(api.KeyStatePendingDeletion),
	"InvalidKeyUsageException":        unused(anHMACKey),
	"DryRunOperationException":        set(dryRunMessage, m{"DryRun": true}),
	"InvalidGrantTokenException":      set("", m{"GrantTokens": []string{"x"}}),
	"InvalidMarkerException":          set("", m{"Marker": "x"}),
	"InvalidCiphertextException":      set("", m{"CiphertextBlob": b64([]byte("x"))}),
	"TagException":                    set("Tags beginning with aws: are reserved", m{"Tags": badTags}),
	"CustomKeyStoreNotFoundException": set("Custom key store "+absentStore+" does not exist.", m{"CustomKeyStoreId": absentStore}),
	"InvalidGrantIdException":         set("A grant ID has 64 hexadecimal digits.", m{"GrantId": "x"}),
	"MalformedPolicyDocumentException": set("The new key policy will not allow you to update the key policy in the future.",
		m{"Policy": jsonText(m{"Version": "2012-10-17", "Statement": []m{allow(userARN, "kms:DescribeKey", nil)}})}),
}

// provocations are those of one operation.
var provocations = map[string]map[string]provocation{
	"CancelKeyDeletion": {"KMSInvalidStateException": func(h *harness, p *provoked) string {
		h.pending(p.id, api.KeyStateEnabled)
		return p.arn + " is not pending deletion."
	}},
	"CreateAlias": {
		"AlreadyExistsException":    set("An alias with the name arn:aws:kms:us-east-1:"+account+":alias/sample already exists", m{"AliasName": "alias/sample"}),
		"InvalidAliasNameException": set("", m{"AliasName": "alias/"}),
		"LimitExceededException":    fullKey,
	},
	"ConnectCustomKeyStore": connectingKeyStore(),
	"CreateCustomKeyStore":  creatingKeyStore(),
	"CreateGrant": {"LimitExceededException": func(h *harness, p *provoked) string {
		h.edit(p.id, func(r *keyRecord) { r.Grants = maxGrants })
		return "The quota of 50000 grants for a KMS key is used up."
	}},
	"CreateKey": {
		"UnsupportedOperationException": set("KeySpec SM2 is not supported in this Region.", m{"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}),
		"LimitExceededException":        noMoreKeys,
		"CustomKeyStoreNotFoundException": whileNewKey(func(h *harness, store string) string {
			h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": store})
			h.ok(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": store})
			return "Custom key store " + store + " does not exist."
		}),
		"CustomKeyStoreInvalidStateException": whileNewKey(func(h *harness, store string) string {
			h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": store})
			return notConnected
		}),
		"CloudHsmClusterInvalidConfigurationException": func(h *harness, p *provoked) string {
			p.in = clusterKey(h.loggedIn())
			h.clusters.edit(clusterID, func(c *Cluster) { c.HSMs = c.HSMs[:1] })
			return someHSMsAway
		},
		"XksKeyAlreadyInUseException": whileNewKey(func(h *harness, store string) string {
			h.storeKey(store, "external-1")
			return "The external key external-1 is already associated with a KMS key in this external key store."
		}),
		"XksKeyInvalidConfigurationException": whileNewKey(func(h *harness, _ string) string {
			h.outside.unfit = true
			return badExternalKey
		}),
		"XksKeyNotFoundException": whileNewKey(func(h *harness, _ string) string {
			h.outside.failing(xksapi.Refuse(xksapi.KeyNotFound, ""))
			return refusals[xksapi.KeyNotFound].message
		}),
		"InvalidArnException": set("An ARN in the specified key policy is invalid.", m{"Policy": strings.Replace(keyPolicy(), `"Resource":"*"`, `"Resource":"x"`, 1)}),
	},
	"Decapsulate": {"InvalidCiphertextException": set("", m{"SharedSecretCiphertextBlob": b64([]byte("x"))})},
	"Decrypt": {
		"IncorrectKeyException": func(h *harness, p *provoked) string { p.in["KeyId"], _ = h.keyID(); return incorrectKey },
		"InvalidKeyUsageException": func(h *harness, p *provoked) string {
			p.in["EncryptionAlgorithm"] = rsaOAEP
			return unused(aSigner)(h, p)
		},
	},
	"DeleteAlias": {"NotFoundException": set("Alias arn:aws:kms:us-east-1:"+account+":alias/absent is not found.", m{"AliasName": "alias/absent"})},
	"DeleteCustomKeyStore": {
		"CustomKeyStoreHasCMKsException": func(h *harness, p *provoked) string {
			id := p.in["CustomKeyStoreId"].(string)
			h.connect(id)
			h.storeKey(id, "external-1")
			h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
			return "Custom key store " + id + " has KMS keys. Schedule their deletion, and delete it when they are gone."
		},
		"CustomKeyStoreInvalidStateException": storeIs("CONNECTED", "ConnectCustomKeyStore"),
	},
	"DisconnectCustomKeyStore":  {"CustomKeyStoreInvalidStateException": storeIs("DISCONNECTED", "DisconnectCustomKeyStore")},
	"DeleteImportedKeyMaterial": {"KMSInvalidStateException": state(api.KeyStateCreating), "UnsupportedOperationException": madeHere},
	"DisableKeyRotation": {"UnsupportedOperationException": func(h *harness, p *provoked) string {
		p.in["KeyId"] = sampleExternal(h)
		return "*"
	}},
	"EnableKeyRotation":                   {"UnsupportedOperationException": onAnHMAC},
	"GenerateDataKeyPair":                 {"UnsupportedOperationException": set("KeyPairSpec SM2 is not supported in this Region.", m{"KeyPairSpec": "SM2"})},
	"GenerateDataKeyPairWithoutPlaintext": {"UnsupportedOperationException": set("KeyPairSpec SM2 is not supported in this Region.", m{"KeyPairSpec": "SM2"})},
	"GenerateRandom": {
		"UnsupportedOperationException": func(h *harness, p *provoked) string {
			p.in["CustomKeyStoreId"] = h.connectedStore("s")
			return "GenerateRandom is not supported in an external key store."
		},
		"CustomKeyStoreInvalidStateException": func(h *harness, p *provoked) string {
			p.in["CustomKeyStoreId"] = h.clusterStore("s")
			return storeIs("DISCONNECTED")(h, p)
		},
	},
	"GenerateMac":            {"InvalidKeyUsageException": unused(aSigner)},
	"VerifyMac":              {"InvalidKeyUsageException": unused(aSigner), "KMSInvalidMacException": set("", m{"Mac": b64(make([]byte, 32))})},
	"Verify":                 {"KMSInvalidSignatureException": set("", m{"Signature": b64(make([]byte, 64))})},
	"GetKeyRotationStatus":   {"UnsupportedOperationException": func(h *harness, p *provoked) string { h.pending(p.id, api.KeyStateUnavailable); return "" }},
	"ListKeyRotations":       {"UnsupportedOperationException": func(h *harness, p *provoked) string { h.pending(p.id, api.KeyStateUnavailable); return "" }},
	"GetParametersForImport": {"UnsupportedOperationException": madeHere},
	"GetPublicKey":           {"UnsupportedOperationException": onAnHMAC},
	"ImportKeyMaterial": {
		"UnsupportedOperationException": madeHere,
		"InvalidCiphertextException":    set("", m{"EncryptedKeyMaterial": b64(make([]byte, 256))}),
		"InvalidImportTokenException":   set("", m{"ImportToken": b64([]byte("x"))}),
		"ExpiredImportTokenException":   func(h *harness, _ *provoked) string { h.clock.Advance(24*time.Hour + time.Second); return "*" },
		"IncorrectKeyMaterialException": func(h *harness, p *provoked) string {
			h.ok(root, "ImportKeyMaterial", p.in)
			p.in = h.wrapping(p.id).wrap(p.id, filled(2), nil)
			return "Imported key material does not have the expected identifier (" + h.metadata(p.id)["CurrentKeyMaterialId"].(string) + ")."
		},
	},
	"ListRetirableGrants": {
		"InvalidArnException": set("*", m{"RetiringPrincipal": "x"}),
		"NotFoundException":   set("*", m{"RetiringPrincipal": "arn:aws:iam::" + account + ":user/nobody"}),
	},
	"PutKeyPolicy": {"LimitExceededException": func(_ *harness, p *provoked) string {
		p.in["Policy"] = keyPolicy() + strings.Repeat(" ", 32768)
		return "*"
	}},
	"ReEncrypt": {"IncorrectKeyException": func(h *harness, p *provoked) string { p.in["SourceKeyId"], _ = h.keyID(); return incorrectKey }},
	"ReplicateKey": {
		"LimitExceededException": noMoreKeys,
		"AlreadyExistsException": func(h *harness, p *provoked) string {
			h.ok(root, "ReplicateKey", p.in)
			return "You can create only one replica of each primary key in each AWS Region."
		},
		"UnsupportedOperationException": func(h *harness, p *provoked) string {
			p.in["KeyId"], p.arn = h.keyID()
			return p.arn + " is not a multi-region primary key."
		},
	},
	"UpdateCustomKeyStore": updatingKeyStore(),
	"UpdatePrimaryRegion": {"UnsupportedOperationException": func(h *harness, p *provoked) string {
		p.in["KeyId"], p.arn = h.keyID()
		return p.arn + " is not a multi-Region primary key."
	}},
	"RetireGrant": {
		"InvalidGrantTokenException": set("", m{"GrantToken": "x"}),
		"InvalidGrantIdException":    byID("x", "A grant ID has 64 hexadecimal digits."),
		"NotFoundException":          byID(strings.Repeat("0", 64), "Grant ID "+strings.Repeat("0", 64)+" not found."),
		"InvalidArnException": func(_ *harness, p *provoked) string {
			p.in = m{"KeyId": "alias/sample", "GrantId": strings.Repeat("0", 64)}
			return noAliases
		},
	},
	"RotateKeyOnDemand": {
		"UnsupportedOperationException": onAnHMAC,
		"ConflictException": func(h *harness, p *provoked) string {
			h.ok(root, "EnableKeyRotation", m{"KeyId": p.id})
			h.edit(p.id, func(r *keyRecord) { soon := h.clock.Now().Add(10 * time.Minute); r.Rotation.Next = &soon })
			return "The key " + p.arn + " is being rotated automatically, or will be within 20 minutes."
		},
		"LimitExceededException": func(h *harness, p *provoked) string {
			h.edit(p.id, func(r *keyRecord) {
				for range maxOnDemand {
					old := r.Materials[0]
					old.RotationType = api.RotationTypeOnDemand
					r.Materials = slices.Insert(r.Materials, 0, old)
				}
			})
			return "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: " + p.arn
		},
	},
	"UpdateAlias": {"LimitExceededException": func(h *harness, p *provoked) string {
		p.id, p.arn = h.keyID()
		p.in["TargetKeyId"] = p.id
		return fullKey(h, p)
	}},
}

// byID returns the provocation that names a grant by its key and id.
func byID(id, message string) provocation {
	return func(_ *harness, p *provoked) string {
		p.in = m{"KeyId": p.arn, "GrantId": id}
		return message
	}
}

const (
	inEveryState   = "it works in every state of a key"
	otherwiseNamed = "AWS was seen to answer TagException for one tag too many"
)

// unprovoked are the errors that cannot be had, and why; those under "" in any
// operation.
var unprovoked = map[string]map[string]string{
	"": {
		"DependencyTimeoutException":                              "the key module has to be busy: TestModulesThatLackAbilities",
		"KMSInternalException":                                    "what fails unexpectedly is an InternalFailure",
		"KeyUnavailableException":                                 "it speaks of AWS's own hardware",
		"XksProxyVpcEndpointServiceInvalidConfigurationException": "a VPC endpoint service is a route of the operator's, which has no configuration of its own",
	},
	"EnableKey":            {"LimitExceededException": "enabling a key makes none"},
	"DeleteAlias":          {"KMSInvalidStateException": inEveryState},
	"DescribeKey":          {"InvalidArnException": "it takes aliases, and a malformed ARN is not found"},
	"GetKeyPolicy":         {"KMSInvalidStateException": inEveryState},
	"GetKeyRotationStatus": {"KMSInvalidStateException": inEveryState},
	"GetPublicKey":         {"DisabledException": "AWS was seen to answer with the public key", "InvalidArnException": "it takes aliases, and a malformed ARN is not found", "InvalidKeyUsageException": "keys of every usage show their public halves"},
	"ListGrants":           {"KMSInvalidStateException": inEveryState},
	"ListKeyPolicies":      {"KMSInvalidStateException": inEveryState},
	"ListKeyRotations":     {"KMSInvalidStateException": inEveryState},
	"PutKeyPolicy":         {"KMSInvalidStateException": inEveryState, "UnsupportedOperationException": "every key has a policy that can be put"},
	"RetireGrant":          {"KMSInvalidStateException": inEveryState},
	"RevokeGrant":          {"KMSInvalidStateException": inEveryState},
	"TagResource":          {"LimitExceededException": otherwiseNamed},
	"UntagResource":        {"TagException": "no key has a reserved tag, and untagging what is not there succeeds"},
}
