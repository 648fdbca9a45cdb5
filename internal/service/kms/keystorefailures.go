package kms

import (
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// exception makes one of AWS's errors of a message.
type exception func(message string) *awserr.Error

// failure is how AWS words one way in which a proxy fails (XKS proxy API
// specification 1.0.3, "Error codes", KMS considerations; developer guide,
// "Troubleshooting external key stores"). Cryptographic operations always answer
// KMSInvalidStateException.
type failure struct {
	message string
	// managing answers Create- and UpdateCustomKeyStore, creating CreateKey.
	managing, creating exception
	// code is what a connection fails with.
	code api.ConnectionErrorCodeType
}

const (
	uninterpretable = "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external key store proxy administrator."
	notConnected    = "This KMS key is in a custom key store that is not connected to its external key store proxy. Connect the external key store and try the request again."
	noneServes      = "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct in your external key store."
	badExternalKey  = "The external key associated with this KMS key in an external key store does not meet the requirements: it must be an AES-256 symmetric key that is enabled and performs encryption and decryption."
)

var (
	malformedAnswer = failure{uninterpretable, api.XksProxyInvalidResponseException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse}
	unreachable     = failure{noneServes, api.XksProxyUriUnreachableException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyNotReachable}

	// refusals are by the errorName that a proxy answers.
	refusals = map[xksapi.Name]failure{
		xksapi.Validation: malformedAnswer,
		xksapi.InvalidState: {
			"The external key associated with this KMS key in an external key store is not enabled in the external key manager. Enable the external key in the external key manager and retry the request.",
			api.XksProxyInvalidConfigurationException, api.XksKeyInvalidConfigurationException, api.ConnectionErrorCodeTypeXksProxyAccessDenied,
		},
		xksapi.InvalidCiphertext: {
			"The external key store proxy rejected the request because the specified ciphertext or encryption context is corrupted, missing, or otherwise invalid.",
			api.XksProxyInvalidResponseException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse,
		},
		xksapi.InvalidKeyUsage: {
			"The external key associated with this KMS key in an external key store does not support the requested operation. Enable the operation on the key in your external key manager, and try the request again.",
			api.XksProxyInvalidResponseException, api.XksKeyInvalidConfigurationException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse,
		},
		xksapi.AuthenticationFailed: {
			"The external key store proxy rejected the request because it could not authenticate AWS KMS. Verify the XKS proxy authentication credentials for your external key store and update if necessary.",
			api.XksProxyIncorrectAuthenticationCredentialException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeInvalidCredentials,
		},
		xksapi.AccessDenied: {
			"The external key store proxy denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request again.",
			api.XksProxyInvalidConfigurationException, api.KMSInvalidStateException, api.ConnectionErrorCodeTypeXksProxyAccessDenied,
		},
		xksapi.KeyNotFound: {
			"The external key associated with this KMS key in an external key store was not found in its external key manager. If the external key ID associated with this KMS key is incorrect, create a new KMS key with the correct external key ID.",
			api.XksProxyInvalidResponseException, api.XksKeyNotFoundException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse,
		},
		xksapi.InvalidURIPath: {
			"The external key store proxy rejected the request because of an invalid URI path. Verify the URI path for your external key store and update if necessary.",
			api.XksProxyInvalidConfigurationException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyInvalidConfiguration,
		},
		xksapi.Unsupported: {
			"The external key store proxy rejected the request because it does not support the requested operation. If you see this error repeatedly, report it to your external key store proxy administrator.",
			api.XksProxyInvalidResponseException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse,
		},
		xksapi.DependencyTimeout: {
			"The external key store proxy did not respond to the request in the time allotted. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
			api.XksProxyUriUnreachableException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyTimedOut,
		},
		xksapi.Throttling: {
			"The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of your calls using KMS keys in this external key store.",
			api.XksProxyUriUnreachableException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyNotReachable,
		},
		xksapi.Internal: {
			"The external key store proxy rejected the request because it cannot communicate with the external key manager. Verify that the external key store proxy configuration is correct and that the external key manager is available.",
			api.XksProxyInvalidResponseException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyNotReachable,
		},
	}

	// breakdowns are failures in which no proxy answered.
	breakdowns = []struct {
		err error
		failure
	}{
		{xksapi.ErrMalformed, malformedAnswer},
		{xks.ErrUnreachable, unreachable},
		{xks.ErrTLS, failure{
			"AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its certificate.",
			api.XksProxyUriUnreachableException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyInvalidTlsConfiguration,
		}},
		{xks.ErrTimeout, failure{
			"AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
			api.XksProxyUriUnreachableException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksProxyTimedOut,
		}},
		{xks.ErrNoService, failure{
			"AWS KMS cannot find the VPC endpoint service of the external key store proxy. Verify the VPC endpoint service name for your external key store and update if necessary.",
			api.XksProxyVpcEndpointServiceNotFoundException, api.CustomKeyStoreInvalidStateException, api.ConnectionErrorCodeTypeXksVpcEndpointServiceNotFound,
		}},
		{xks.ErrInner, failure{
			"The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.",
			nil, nil, "", // only Decrypt and ReEncrypt
		}},
		{xks.ErrEndpoint, refusals[xksapi.KeyNotFound]}, // an id that no external key has
	}
)

// failureOf finds how AWS words an error; ok is false for one that is not the
// proxy's.
func failureOf(err error) (f failure, ok bool) {
	var refused *xksapi.Error
	if errors.As(err, &refused) {
		f, ok = refusals[refused.Name]
		return f, ok
	}
	for _, b := range breakdowns {
		if errors.Is(err, b.err) {
			return b.failure, true
		}
	}
	return failure{}, false
}

// fromProxy words an error for an operation. in picks the exception; nil is that of
// cryptographic operations.
func fromProxy(err error, in func(*failure) exception) error {
	if err == nil {
		return nil
	}
	f, ok := failureOf(err)
	if !ok {
		return fromKeyring(err)
	}
	answer := exception(api.KMSInvalidStateException)
	if in != nil {
		answer = in(&f)
	}
	return answer(f.message)
}

func whileManaging(f *failure) exception { return f.managing }
func whileCreating(f *failure) exception { return f.creating }

// connectionError is why a connection failed.
func connectionError(err error) api.ConnectionErrorCodeType {
	if f, ok := failureOf(err); ok {
		return f.code
	}
	return api.ConnectionErrorCodeTypeInternalError
}
