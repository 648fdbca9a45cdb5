package kms

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/xksapi"
)

func TestKeyStoreFromBeginningToEnd(t *testing.T) {
	h := newHarness(t)
	id := h.keyStore("first")
	if !strings.HasPrefix(id, "cks-") || len(id) != 21 {
		t.Errorf("the id is %s", id)
	}
	entry := h.storeEntry(id)
	config := entry["XksProxyConfiguration"].(m)
	if entry["ConnectionState"] != "DISCONNECTED" || entry["CustomKeyStoreType"] != "EXTERNAL_KEY_STORE" || entry["CustomKeyStoreName"] != "first" ||
		entry["CreationDate"] == nil || config["AccessKeyId"] != storeAccessKey || config["UriPath"] != "/first/kms/xks/v1" ||
		config["Connectivity"] != "PUBLIC_ENDPOINT" || config["UriEndpoint"] != "https://proxy.example.com" {
		t.Errorf("%v", entry)
	}
	if strings.Contains(jsonText(entry), storeSecret) {
		t.Error("the secret is shown")
	}
	if at := h.outside.health[0]; at.Credential.Secret != storeSecret || at.Host != "proxy.example.com" || at.Region != region {
		t.Errorf("the proxy was asked as %+v", at)
	}
	for _, record := range h.journal.taken(t) {
		if strings.Contains(jsonText(record), storeSecret) {
			t.Error("the secret is in an audit record")
		}
	}

	h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
	if state := h.storeEntry(id)["ConnectionState"]; state != "CONNECTING" {
		t.Errorf("asked to connect, it is %v", state)
	}
	h.fails(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": id}, "CustomKeyStoreInvalidStateException",
		"Custom key store "+id+" has the connection state CONNECTING, which is not valid for DeleteCustomKeyStore.")
	h.work()
	if state := h.storeEntry(id)["ConnectionState"]; state != "CONNECTED" {
		t.Errorf("connected, it is %v", state)
	}
	h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id}) // there already
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.fails(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id}, "CustomKeyStoreInvalidStateException",
		"Custom key store "+id+" has the connection state DISCONNECTED, which is not valid for DisconnectCustomKeyStore.")
	h.ok(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": id})
	for _, name := range []string{"DeleteCustomKeyStore", "ConnectCustomKeyStore", "DisconnectCustomKeyStore", "UpdateCustomKeyStore", "DescribeCustomKeyStores"} {
		h.fails(root, name, m{"CustomKeyStoreId": id}, "CustomKeyStoreNotFoundException", "Custom key store "+id+" does not exist.")
	}
	h.fails(root, "DescribeCustomKeyStores", m{"CustomKeyStoreName": "first"}, "CustomKeyStoreNotFoundException", "Custom key store first does not exist.")
	// Another account has none of it.
	other := h.keyStore("second")
	if list := h.ok(foreignRoot, "DescribeCustomKeyStores", m{})["CustomKeyStores"].([]any); len(list) != 0 {
		t.Errorf("another account sees %v", list)
	}
	h.fails(foreignRoot, "DeleteCustomKeyStore", m{"CustomKeyStoreId": other}, "CustomKeyStoreNotFoundException", "Custom key store "+other+" does not exist.")
}

func TestKeyStoreParameters(t *testing.T) {
	h := newHarness(t)
	hsm := m{"CustomKeyStoreName": "h", "CloudHsmClusterId": "cluster-aaaaaaaaaaa", "KeyStorePassword": "password", "TrustAnchorCertificate": "pem"}
	external := sampleKeyStore("x")
	without := func(in m, name string) m {
		out := with(in, m{})
		delete(out, name)
		return out
	}
	vpc := with(external, m{"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE"})
	const service = "com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0"
	for _, c := range []struct {
		in            m
		code, message string
	}{
		{hsm, "CloudHsmClusterNotFoundException", "Cluster with id cluster-aaaaaaaaaaa not found."},
		{without(hsm, "KeyStorePassword"), "ValidationException", "KeyStorePassword is required for a custom key store with CustomKeyStoreType AWS_CLOUDHSM."},
		{without(hsm, "TrustAnchorCertificate"), "ValidationException", "TrustAnchorCertificate is required for a custom key store with CustomKeyStoreType AWS_CLOUDHSM."},
		{m{"CustomKeyStoreName": "h"}, "ValidationException", "CloudHsmClusterId is required for a custom key store with CustomKeyStoreType AWS_CLOUDHSM."},
		{with(hsm, m{"XksProxyUriPath": "/kms/xks/v1"}), "ValidationException", "XksProxyUriPath is not valid for a custom key store with CustomKeyStoreType AWS_CLOUDHSM."},
		{with(hsm, m{"XksProxyVpcEndpointServiceName": service}), "ValidationException", "XksProxyVpcEndpointServiceName is not valid for a custom key store with CustomKeyStoreType AWS_CLOUDHSM."},
		{without(external, "XksProxyUriEndpoint"), "ValidationException", "XksProxyUriEndpoint is required for a custom key store with CustomKeyStoreType EXTERNAL_KEY_STORE."},
		{without(external, "XksProxyAuthenticationCredential"), "ValidationException", "XksProxyAuthenticationCredential is required for a custom key store with CustomKeyStoreType EXTERNAL_KEY_STORE."},
		{with(external, m{"KeyStorePassword": "password"}), "ValidationException", "KeyStorePassword is not valid for a custom key store with CustomKeyStoreType EXTERNAL_KEY_STORE."},
		{vpc, "ValidationException", "XksProxyVpcEndpointServiceName is required when XksProxyConnectivity is VPC_ENDPOINT_SERVICE."},
		{with(external, m{"XksProxyVpcEndpointServiceName": service}), "ValidationException", "XksProxyVpcEndpointServiceName and XksProxyVpcEndpointServiceOwner are valid only when XksProxyConnectivity is VPC_ENDPOINT_SERVICE."},
		{with(external, m{"XksProxyUriEndpoint": "https://127.0.0.1"}), "XksProxyInvalidConfigurationException", "XksProxyUriEndpoint must be https:// followed by the fully qualified domain name of the external key store proxy."},
		{with(external, m{"XksProxyUriEndpoint": "https://localhost"}), "XksProxyInvalidConfigurationException", "XksProxyUriEndpoint must be https:// followed by the fully qualified domain name of the external key store proxy."},
		{with(external, m{"XksProxyUriPath": "/kms/xks/v2"}), "XksProxyInvalidConfigurationException", "XksProxyUriPath must end with /kms/xks/v1 and must not have empty parts."},
		{with(external, m{"XksProxyUriPath": "/a//kms/xks/v1"}), "XksProxyInvalidConfigurationException", "XksProxyUriPath must end with /kms/xks/v1 and must not have empty parts."},
	} {
		h.fails(root, "CreateCustomKeyStore", c.in, c.code, c.message)
	}
	if n := len(h.outside.health); n != 0 {
		t.Errorf("a proxy was asked %d times", n)
	}
	h.fails(root, "DescribeCustomKeyStores", m{"CustomKeyStoreId": "a", "CustomKeyStoreName": "b"}, "ValidationException", "You cannot specify both CustomKeyStoreId and CustomKeyStoreName.")

	h.ok(root, "CreateCustomKeyStore", external)
	h.ok(root, "CreateCustomKeyStore", with(vpc, m{"CustomKeyStoreName": "v", "XksProxyUriEndpoint": "https://private.example.com", "XksProxyVpcEndpointServiceName": service}))
	for _, c := range []struct {
		in   m
		code string
	}{
		{sampleKeyStore("x"), "CustomKeyStoreNameInUseException"},
		{with(external, m{"CustomKeyStoreName": "y", "XksProxyUriEndpoint": "https://PROXY.example.com"}), "XksProxyUriInUseException"},
		{with(sampleKeyStore("y"), m{"XksProxyUriEndpoint": "https://private.example.com"}), "XksProxyUriEndpointInUseException"},
		{with(sampleKeyStore("y"), m{"XksProxyUriEndpoint": "https://other.example.com", "XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": service}), "XksProxyVpcEndpointServiceInUseException"},
	} {
		if a := h.send(root, "CreateCustomKeyStore", c.in); a.code != c.code {
			t.Errorf("%v: %s: %s, want %s", c.in, a.code, a.message, c.code)
		}
	}
	for i := range 8 {
		h.keyStore(fmt.Sprint("n", i))
	}
	h.fails(root, "CreateCustomKeyStore", sampleKeyStore("z"), "LimitExceededException", "The quota of 10 custom key stores in an account and Region is used up.")
	page := h.ok(root, "DescribeCustomKeyStores", m{"Limit": 6})
	if len(page["CustomKeyStores"].([]any)) != 6 || page["Truncated"] != true {
		t.Errorf("%v", page)
	}
	page = h.ok(root, "DescribeCustomKeyStores", m{"Limit": 6, "Marker": page["NextMarker"]})
	if len(page["CustomKeyStores"].([]any)) != 4 || page["Truncated"] == true || page["NextMarker"] != nil {
		t.Errorf("%v", page)
	}
	if one := h.ok(root, "DescribeCustomKeyStores", m{"CustomKeyStoreName": "n3"})["CustomKeyStores"].([]any); len(one) != 1 || one[0].(m)["CustomKeyStoreName"] != "n3" {
		t.Errorf("%v", one)
	}
}

func TestUpdateKeyStore(t *testing.T) {
	h := newHarness(t)
	id := h.keyStore("s")
	h.keyStore("taken")
	update := func(in m) m { return with(in, m{"CustomKeyStoreId": id}) }
	h.ok(root, "UpdateCustomKeyStore", update(m{"NewCustomKeyStoreName": "renamed"}))
	if asked := len(h.outside.health); asked != 2 {
		t.Errorf("renaming asked the proxy: %d", asked)
	}
	h.fails(root, "UpdateCustomKeyStore", update(m{"NewCustomKeyStoreName": "taken"}), "CustomKeyStoreNameInUseException", "A custom key store with the name taken already exists.")
	h.fails(root, "UpdateCustomKeyStore", update(m{"XksProxyUriPath": "/taken/kms/xks/v1"}), "XksProxyUriInUseException", "The XksProxyUriEndpoint and XksProxyUriPath are already associated with another external key store.")
	h.fails(root, "UpdateCustomKeyStore", update(m{"CloudHsmClusterId": "cluster-aaaaaaaaaaa"}), "ValidationException", "CloudHsmClusterId is not valid for a custom key store with CustomKeyStoreType EXTERNAL_KEY_STORE.")
	h.fails(root, "UpdateCustomKeyStore", update(m{"KeyStorePassword": "password"}), "ValidationException", "KeyStorePassword is not valid for a custom key store with CustomKeyStoreType EXTERNAL_KEY_STORE.")
	h.ok(root, "UpdateCustomKeyStore", update(m{"XksProxyUriEndpoint": "https://moved.example.com"}))
	h.connect(id)

	// Connected: name, path and credential change, the place does not.
	for _, in := range []m{{"XksProxyUriEndpoint": "https://again.example.com"}, {"XksProxyConnectivity": "PUBLIC_ENDPOINT"}} {
		h.fails(root, "UpdateCustomKeyStore", update(in), "CustomKeyStoreInvalidStateException",
			"Custom key store "+id+" has the connection state CONNECTED, which is not valid for UpdateCustomKeyStore.")
	}
	fresh := m{"AccessKeyId": "ABCDEFGHIJKLMNOPQRST", "RawSecretAccessKey": strings.Repeat("n", 43)}
	k := h.storeKey(id, "external-1")
	h.ok(root, "UpdateCustomKeyStore", update(m{"XksProxyAuthenticationCredential": fresh, "XksProxyUriPath": "/new/kms/xks/v1"}))
	h.ok(root, "Encrypt", m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64})
	if at := h.outside.last().Endpoint; at.Credential.AccessKeyID != "ABCDEFGHIJKLMNOPQRST" || string(at.Credential.Secret) != strings.Repeat("n", 43) || at.Path != "/new/kms/xks/v1" || at.Host != "moved.example.com" {
		t.Errorf("after the rotation the proxy was asked as %+v", at)
	}
	// What the proxy does not take changes nothing.
	h.outside.failing(xksapi.Refuse(xksapi.AuthenticationFailed, ""))
	h.fails(root, "UpdateCustomKeyStore", update(m{"XksProxyAuthenticationCredential": m{"AccessKeyId": storeAccessKey, "RawSecretAccessKey": storeSecret}}),
		"XksProxyIncorrectAuthenticationCredentialException", refusals[xksapi.AuthenticationFailed].message)
	h.outside.failing(nil)
	h.ok(root, "Encrypt", m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64})
	if at := h.outside.last().Endpoint; at.Credential.AccessKeyID != "ABCDEFGHIJKLMNOPQRST" {
		t.Errorf("a refused update holds: %+v", at)
	}
}

// TestEveryFailureOfAProxy: for each way to fail, the exceptions of the four kinds
// of operation and the connection error code.
func TestEveryFailureOfAProxy(t *testing.T) {
	h := newHarness(t)
	id := h.connectedStore("s")
	idle := h.keyStore("idle")
	k := h.storeKey(id, "external-1")
	blob := h.ok(root, "Encrypt", m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64})["CiphertextBlob"]
	const (
		badAnswer = "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external key store proxy administrator."
		response  = "XksProxyInvalidResponseException"
		away      = "XksProxyUriUnreachableException"
		config    = "XksProxyInvalidConfigurationException"
		state     = "CustomKeyStoreInvalidStateException"
	)
	refuse := func(name xksapi.Name) error { return xksapi.Refuse(name, "secret detail of the proxy") }
	for _, c := range []struct {
		err                      error
		managing, creating, code string
		message                  string // or how it begins
	}{
		{refuse(xksapi.Validation), response, state, "XKS_PROXY_INVALID_RESPONSE", badAnswer},
		{refuse(xksapi.InvalidState), config, "XksKeyInvalidConfigurationException", "XKS_PROXY_ACCESS_DENIED", "The external key associated with this KMS key in an external key store is not enabled in the external key manager."},
		{refuse(xksapi.InvalidCiphertext), response, state, "XKS_PROXY_INVALID_RESPONSE", "The external key store proxy rejected the request because the specified ciphertext or encryption context is corrupted, missing, or otherwise invalid."},
		{refuse(xksapi.InvalidKeyUsage), response, "XksKeyInvalidConfigurationException", "XKS_PROXY_INVALID_RESPONSE", "The external key associated with this KMS key in an external key store does not support the requested operation."},
		{refuse(xksapi.AuthenticationFailed), "XksProxyIncorrectAuthenticationCredentialException", state, "INVALID_CREDENTIALS", "The external key store proxy rejected the request because it could not authenticate AWS KMS."},
		{refuse(xksapi.AccessDenied), config, "KMSInvalidStateException", "XKS_PROXY_ACCESS_DENIED", "The external key store proxy denied access to the operation."},
		{refuse(xksapi.KeyNotFound), response, "XksKeyNotFoundException", "XKS_PROXY_INVALID_RESPONSE", "The external key associated with this KMS key in an external key store was not found in its external key manager."},
		{refuse(xksapi.InvalidURIPath), config, state, "XKS_PROXY_INVALID_CONFIGURATION", "The external key store proxy rejected the request because of an invalid URI path."},
		{refuse(xksapi.Throttling), away, state, "XKS_PROXY_NOT_REACHABLE", "The external key store proxy rejected the request due to a very high request rate."},
		{refuse(xksapi.Unsupported), response, state, "XKS_PROXY_INVALID_RESPONSE", "The external key store proxy rejected the request because it does not support the requested operation."},
		{refuse(xksapi.DependencyTimeout), away, state, "XKS_PROXY_TIMED_OUT", "The external key store proxy did not respond to the request in the time allotted."},
		{refuse(xksapi.Internal), response, state, "XKS_PROXY_NOT_REACHABLE", "The external key store proxy rejected the request because it cannot communicate with the external key manager."},
		{xksapi.ErrMalformed, response, state, "XKS_PROXY_INVALID_RESPONSE", badAnswer},
		{xks.ErrUnreachable, away, state, "XKS_PROXY_NOT_REACHABLE", "AWS KMS cannot communicate with the external key store proxy."},
		{xks.ErrTLS, away, state, "XKS_PROXY_INVALID_TLS_CONFIGURATION", "AWS KMS cannot establish a TLS connection to the external key store proxy."},
		{xks.ErrTimeout, away, state, "XKS_PROXY_TIMED_OUT", "AWS KMS rejected the request because the external key store proxy did not respond in time."},
		{xks.ErrNoService, "XksProxyVpcEndpointServiceNotFoundException", state, "XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND", "AWS KMS cannot find the VPC endpoint service of the external key store proxy."},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			h.t = t
			h.outside.failing(c.err)
			want := func(name string, in m, code string) {
				t.Helper()
				if a := h.send(root, name, in); a.code != code || !strings.HasPrefix(a.message, c.message) || strings.Contains(a.message, "secret detail") || a.status != 400 {
					t.Errorf("%s: %d %s: %s", name, a.status, a.code, a.message)
				}
			}
			want("CreateCustomKeyStore", sampleKeyStore("new"), c.managing)
			want("UpdateCustomKeyStore", m{"CustomKeyStoreId": idle, "XksProxyUriPath": "/else/kms/xks/v1"}, c.managing)
			want("CreateKey", m{"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": id, "XksKeyId": "external-2"}, c.creating)
			want("Encrypt", m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64}, "KMSInvalidStateException")
			want("GenerateDataKey", m{"KeyId": k["KeyId"], "KeySpec": "AES_256"}, "KMSInvalidStateException")
			want("GenerateDataKeyWithoutPlaintext", m{"KeyId": k["KeyId"], "KeySpec": "AES_256"}, "KMSInvalidStateException")
			want("Decrypt", m{"CiphertextBlob": blob}, "KMSInvalidStateException")
			want("ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": k["KeyId"]}, "KMSInvalidStateException")
			h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": idle})
			h.work()
			entry := h.storeEntry(idle)
			if entry["ConnectionState"] != "FAILED" || entry["ConnectionErrorCode"] != c.code {
				t.Errorf("connected: %v, %v", entry["ConnectionState"], entry["ConnectionErrorCode"])
			}
			for _, name := range []string{"ConnectCustomKeyStore", "DeleteCustomKeyStore", "UpdateCustomKeyStore"} {
				h.fails(root, name, m{"CustomKeyStoreId": idle}, state, "Custom key store "+idle+" has the connection state FAILED, which is not valid for "+name+".")
			}
			h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": idle})
			if entry := h.storeEntry(idle); entry["ConnectionErrorCode"] != nil {
				t.Errorf("disconnected, it still has %v", entry["ConnectionErrorCode"])
			}
		})
	}
	h.t = t
	h.outside.failing(xks.ErrInner)
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "KMSInvalidStateException",
		"The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.")
	h.outside.failing(nil)
	h.ok(root, "Decrypt", m{"CiphertextBlob": blob})
	h.outside.down = true
	if a := h.send(root, "CreateCustomKeyStore", sampleKeyStore("new")); a.code != away {
		t.Errorf("no manager serves: %s: %s", a.code, a.message)
	}
}

func TestConnectingStopsWhereItIsTakenBack(t *testing.T) {
	h := newHarness(t)
	id := h.keyStore("s")
	h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.work()
	if state := h.storeEntry(id)["ConnectionState"]; state != "DISCONNECTED" {
		t.Errorf("it is %v", state)
	}
	// A restart goes on where the process ended.
	h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.restart()
	h.work()
	if state := h.storeEntry(id)["ConnectionState"]; state != "CONNECTED" {
		t.Errorf("after a restart it is %v", state)
	}
}
