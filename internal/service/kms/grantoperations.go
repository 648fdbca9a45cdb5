package kms

import (
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/awserr"
)

// everyGrant can allow these on every kind of key.
var everyGrant = []api.GrantOperation{
	api.GrantOperationCreateGrant, api.GrantOperationRetireGrant, api.GrantOperationDescribeKey,
}

// grantable is what a grant can allow besides, by the key's usage. Symmetric
// encryption keys have a row of their own.
var grantable = map[api.KeyUsageType][]api.GrantOperation{
	api.KeyUsageTypeEncryptDecrypt: {
		api.GrantOperationEncrypt, api.GrantOperationDecrypt,
		api.GrantOperationReEncryptFrom, api.GrantOperationReEncryptTo, api.GrantOperationGetPublicKey,
	},
	api.KeyUsageTypeSignVerify: {
		api.GrantOperationSign, api.GrantOperationVerify, api.GrantOperationGetPublicKey,
	},
	api.KeyUsageTypeKeyAgreement: {
		api.GrantOperationDeriveSharedSecret, api.GrantOperationGetPublicKey,
	},
	api.KeyUsageTypeGenerateVerifyMac: {
		api.GrantOperationGenerateMac, api.GrantOperationVerifyMac,
	},
	api.KeyUsageTypeEncapsulateDecapsulate: {
		api.GrantOperationEncapsulate, api.GrantOperationDecapsulate, api.GrantOperationGetPublicKey,
	},
}

// symmetricGrantable take an encryption context, all of them.
var symmetricGrantable = []api.GrantOperation{
	api.GrantOperationEncrypt, api.GrantOperationDecrypt,
	api.GrantOperationReEncryptFrom, api.GrantOperationReEncryptTo,
	api.GrantOperationGenerateDataKey, api.GrantOperationGenerateDataKeyWithoutPlaintext,
	api.GrantOperationGenerateDataKeyPair, api.GrantOperationGenerateDataKeyPairWithoutPlaintext,
}

// grantOperations returns what grants on k can allow, in the order of AWS's
// message.
func (k *key) grantOperations() []api.GrantOperation {
	if k.encryptsSymmetrically() {
		return slices.Concat(everyGrant, symmetricGrantable)
	}
	return slices.Concat(everyGrant, grantable[k.Usage])
}

func (k *key) encryptsSymmetrically() bool {
	return k.spec.family == symmetricKey && k.Usage == api.KeyUsageTypeEncryptDecrypt
}

// checkGrantOperations refuses operations that a grant on k cannot allow.
func (k *key) checkGrantOperations(operations []api.GrantOperation) error {
	valid := k.grantOperations()
	var wrong []api.GrantOperation
	for _, o := range operations {
		if !slices.Contains(valid, o) {
			wrong = append(wrong, o)
		}
	}
	switch {
	case len(wrong) > 0:
		kind := "symmetric"
		if k.spec.family == asymmetricKey {
			kind = "asymmetric"
		}
		return awserr.Validationf("Operations %s are not supported when creating a grant for a %s KMS key with key usage %s. Valid operations are %s",
			operationList(wrong), kind, k.Usage, operationList(valid))
	case len(operations) == 0:
		return awserr.Validation("A grant must contain at least one operation.")
	case len(operations) == 1 && operations[0] == api.GrantOperationCreateGrant:
		return awserr.Validation("Grants must not contain only the CreateGrant operation.")
	}
	return nil
}

func operationList(operations []api.GrantOperation) string {
	names := make([]string, len(operations))
	for i, o := range operations {
		names[i] = string(o)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// each returns operations without repetitions.
func each(operations []api.GrantOperation) []api.GrantOperation {
	once := make([]api.GrantOperation, 0, min(len(operations), 32))
	for _, o := range operations {
		if !slices.Contains(once, o) {
			once = append(once, o)
		}
	}
	return once
}
