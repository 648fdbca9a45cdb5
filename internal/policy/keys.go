package policy

import "strings"

// KeyType is the type of a condition key's values.
type KeyType uint8

const (
	StringKey KeyType = iota + 1
	NumericKey
	DateKey
	BoolKey
	ARNKey
	IPKey
)

// ConditionKey is a condition key that AWS documents.
type ConditionKey struct {
	// Name is spelt as AWS spells it; that of a family of keys, such as
	// "aws:PrincipalTag/", ends where the variable part begins.
	Name string
	Type KeyType
	// Multivalued keys may have several values in one request and are meant for
	// ForAllValues and ForAnyValue.
	Multivalued bool
}

// globalKeys are AWS's global condition keys (IAM User Guide, "AWS global
// condition context keys") that a request to these services can have.
var globalKeys = []ConditionKey{
	{Name: "aws:CalledVia", Type: StringKey, Multivalued: true},
	{Name: "aws:CalledViaFirst", Type: StringKey},
	{Name: "aws:CalledViaLast", Type: StringKey},
	{Name: "aws:CurrentTime", Type: DateKey},
	{Name: "aws:EpochTime", Type: DateKey},
	{Name: "aws:FederatedProvider", Type: StringKey},
	{Name: "aws:MultiFactorAuthAge", Type: NumericKey},
	{Name: "aws:MultiFactorAuthPresent", Type: BoolKey},
	{Name: "aws:PrincipalAccount", Type: StringKey},
	{Name: "aws:PrincipalArn", Type: ARNKey},
	{Name: "aws:PrincipalIsAWSService", Type: BoolKey},
	{Name: "aws:PrincipalServiceName", Type: StringKey},
	{Name: "aws:PrincipalServiceNamesList", Type: StringKey, Multivalued: true},
	{Name: "aws:PrincipalTag/", Type: StringKey},
	{Name: "aws:PrincipalType", Type: StringKey},
	{Name: "aws:Referer", Type: StringKey},
	{Name: "aws:RequestTag/", Type: StringKey},
	{Name: "aws:RequestedRegion", Type: StringKey},
	{Name: "aws:ResourceAccount", Type: StringKey},
	{Name: "aws:ResourceTag/", Type: StringKey},
	{Name: "aws:SecureTransport", Type: BoolKey},
	{Name: "aws:SourceAccount", Type: StringKey},
	{Name: "aws:SourceArn", Type: ARNKey},
	{Name: "aws:SourceIdentity", Type: StringKey},
	{Name: "aws:SourceIp", Type: IPKey},
	{Name: "aws:TagKeys", Type: StringKey, Multivalued: true},
	{Name: "aws:TokenIssueTime", Type: DateKey},
	{Name: "aws:UserAgent", Type: StringKey},
	{Name: "aws:ViaAWSService", Type: BoolKey},
	{Name: "aws:userid", Type: StringKey},
	{Name: "aws:username", Type: StringKey},
}

// kmsKeys are the condition keys of AWS KMS (KMS Developer Guide, "Condition
// keys for AWS KMS").
var kmsKeys = []ConditionKey{
	{Name: "kms:BypassPolicyLockoutSafetyCheck", Type: BoolKey},
	{Name: "kms:CallerAccount", Type: StringKey},
	{Name: "kms:CustomerMasterKeySpec", Type: StringKey},
	{Name: "kms:CustomerMasterKeyUsage", Type: StringKey},
	{Name: "kms:DataKeyPairSpec", Type: StringKey},
	{Name: "kms:EncryptionAlgorithm", Type: StringKey},
	{Name: "kms:EncryptionContext:", Type: StringKey},
	{Name: "kms:EncryptionContextKeys", Type: StringKey, Multivalued: true},
	{Name: "kms:ExpirationModel", Type: StringKey},
	{Name: "kms:GrantConstraintSourceArn", Type: ARNKey},
	{Name: "kms:GrantConstraintType", Type: StringKey},
	{Name: "kms:GrantIsForAWSResource", Type: BoolKey},
	{Name: "kms:GrantOperations", Type: StringKey, Multivalued: true},
	{Name: "kms:GranteePrincipal", Type: StringKey},
	{Name: "kms:GranteeServicePrincipal", Type: StringKey},
	{Name: "kms:KeyAgreementAlgorithm", Type: StringKey},
	{Name: "kms:KeyOrigin", Type: StringKey},
	{Name: "kms:KeySpec", Type: StringKey},
	{Name: "kms:KeyUsage", Type: StringKey},
	{Name: "kms:MacAlgorithm", Type: StringKey},
	{Name: "kms:MessageType", Type: StringKey},
	{Name: "kms:MultiRegion", Type: BoolKey},
	{Name: "kms:MultiRegionKeyType", Type: StringKey},
	{Name: "kms:PrimaryRegion", Type: StringKey},
	{Name: "kms:ReEncryptOnSameKey", Type: BoolKey},
	{Name: "kms:RecipientAttestation:ImageSha384", Type: StringKey},
	{Name: "kms:RecipientAttestation:NitroTPMPCR", Type: StringKey},
	{Name: "kms:RecipientAttestation:PCR", Type: StringKey},
	{Name: "kms:ReplicaRegion", Type: StringKey},
	{Name: "kms:RequestAlias", Type: StringKey},
	{Name: "kms:ResourceAliases", Type: StringKey, Multivalued: true},
	{Name: "kms:RetiringPrincipal", Type: StringKey},
	{Name: "kms:RetiringServicePrincipal", Type: StringKey},
	{Name: "kms:RotationPeriodInDays", Type: NumericKey},
	{Name: "kms:ScheduleKeyDeletionPendingWindowInDays", Type: NumericKey},
	{Name: "kms:SigningAlgorithm", Type: StringKey},
	{Name: "kms:TrailingDaysWithoutKeyUsage", Type: NumericKey},
	{Name: "kms:ValidTo", Type: DateKey},
	{Name: "kms:ViaService", Type: StringKey},
	{Name: "kms:WrappingAlgorithm", Type: StringKey},
	{Name: "kms:WrappingKeySpec", Type: StringKey},
}

// isFamily reports whether the key's name goes on with a variable part.
func (k ConditionKey) isFamily() bool {
	return strings.HasSuffix(k.Name, "/") || strings.HasSuffix(k.Name, ":") || strings.HasSuffix(k.Name, "PCR")
}

// LookupKey returns what is known of a global or kms:* condition key, whose name
// is given in any case. Keys of other services, and keys that do not exist, are
// unknown: in a decision they are missing unless the context answers them.
func LookupKey(name string) (key ConditionKey, ok bool) {
	table := globalKeys
	if len(name) > 4 && strings.EqualFold(name[:4], "kms:") {
		table = kmsKeys
	}
	for _, k := range table {
		n := len(k.Name)
		if len(name) == n && !k.isFamily() && strings.EqualFold(name, k.Name) ||
			len(name) > n && k.isFamily() && strings.EqualFold(name[:n], k.Name) {
			return k, true
		}
	}
	return ConditionKey{}, false
}
