package kms

import (
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/awserr"
)

// muSize is the length of ML-DSA's message representative µ, in bytes.
const muSize = 64

// checkMessage refuses what a signing algorithm does not take: message types first,
// then the length of a digest (kms.md §15). The length of a RAW message is the
// model's to check.
func (k *key) checkMessage(algorithm string, messageType api.MessageType, size int) error {
	lattice := algorithm == mldsaShake256
	switch {
	case lattice && messageType == api.MessageTypeDigest,
		!lattice && messageType == api.MessageTypeExternalMu:
		return awserr.Validation("Message type " + string(messageType) + " is incompatible with key spec " + string(k.Spec) + ".")
	case algorithm == ed25519Pure && messageType != api.MessageTypeRaw,
		algorithm == ed25519PH && messageType != api.MessageTypeDigest:
		return awserr.Validation("Message type " + string(messageType) + " is incompatible with algorithm " + algorithm + ".")
	case messageType != api.MessageTypeRaw && size != digestSize(algorithm):
		return awserr.Validation("Digest is invalid length for algorithm " + algorithm + ".")
	}
	return nil
}

// digestSize is the length of what an algorithm takes instead of the message, in
// bytes.
func digestSize(algorithm string) int {
	switch {
	case algorithm == mldsaShake256:
		return muSize
	case algorithm == sm2DSA, strings.HasSuffix(algorithm, "_SHA_256"):
		return 32
	case strings.HasSuffix(algorithm, "_SHA_384"):
		return 48
	default:
		return 64
	}
}

// orRaw fills in the message type that a request left out, so that its audit record
// shows it as well.
func orRaw(messageType *api.MessageType) api.MessageType {
	if *messageType == "" {
		*messageType = api.MessageTypeRaw
	}
	return *messageType
}
