package kms

import (
	"fmt"
	"maps"

	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/xksapi"
)

const (
	absentStore   = "cks-0123456789abcdef0"
	sampleService = "com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0"
)

// privateStore is the input of CreateCustomKeyStore for a store of that name behind
// the VPC endpoint service, at a host of that name.
func privateStore(name string) m {
	return with(sampleKeyStore(name), m{
		"XksProxyUriEndpoint":  "https://" + name + ".example.com",
		"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": sampleService,
	})
}

// clashes returns the provocation by another key store, to which the members of the
// request are alike.
func clashes(other m, message string, members m) provocation {
	return func(h *harness, p *provoked) string {
		h.ok(root, "CreateCustomKeyStore", other)
		maps.Copy(p.in, members)
		return message
	}
}

// byProxy returns the provocation by a proxy to which every request comes to err.
func byProxy(err error) provocation {
	return func(h *harness, p *provoked) string {
		h.outside.failing(err)
		if p.operation == "UpdateCustomKeyStore" {
			p.in["XksProxyUriPath"] = "/other/kms/xks/v1" // so that the proxy is asked
		}
		f, ok := failureOf(err)
		if !ok {
			h.t.Fatalf("no failure of a proxy: %v", err)
		}
		return f.message
	}
}

// whileNewKey returns the provocation by a new key in a store that is connected.
func whileNewKey(provoke func(h *harness, store string) (message string)) provocation {
	return func(h *harness, p *provoked) string {
		id := h.connectedStore("s")
		p.in = m{"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": id, "XksKeyId": "external-1"}
		return provoke(h, id)
	}
}

// storeIs returns the provocation by a key store to which the operations have been
// done, and which then is in that state.
func storeIs(state string, operations ...string) provocation {
	return func(h *harness, p *provoked) string {
		id := p.in["CustomKeyStoreId"].(string)
		for _, name := range operations {
			h.ok(root, name, m{"CustomKeyStoreId": id})
		}
		h.work()
		return fmt.Sprintf("Custom key store %s has the connection state %s, which is not valid for %s.", id, state, p.operation)
	}
}

// aboutProxies are the provocations of the operations that are told of a proxy; name
// is the member for the store's name.
func aboutProxies(name string) map[string]provocation {
	return map[string]provocation{
		"CustomKeyStoreNameInUseException": clashes(sampleKeyStore("taken"),
			"A custom key store with the name taken already exists.", m{name: "taken"}),
		"XksProxyUriInUseException": clashes(sampleKeyStore("taken"),
			"The XksProxyUriEndpoint and XksProxyUriPath are already associated with another external key store.",
			m{"XksProxyUriPath": "/taken/kms/xks/v1"}),
		"XksProxyUriEndpointInUseException": clashes(privateStore("taken"),
			"The XksProxyUriEndpoint is already associated with another external key store.",
			m{"XksProxyUriEndpoint": "https://taken.example.com"}),
		"XksProxyVpcEndpointServiceInUseException": clashes(privateStore("taken"),
			"The VPC endpoint service is already associated with another external key store.",
			m{"XksProxyConnectivity": "VPC_ENDPOINT_SERVICE", "XksProxyVpcEndpointServiceName": sampleService}),
		"XksProxyInvalidConfigurationException": set(
			"XksProxyUriPath must end with /kms/xks/v1 and must not have empty parts.", m{"XksProxyUriPath": "/kms/xks/v2"}),
		"XksProxyIncorrectAuthenticationCredentialException": byProxy(xksapi.Refuse(xksapi.AuthenticationFailed, "")),
		"XksProxyInvalidResponseException":                   byProxy(xksapi.ErrMalformed),
		"XksProxyUriUnreachableException":                    byProxy(xks.ErrUnreachable),
		"XksProxyVpcEndpointServiceNotFoundException":        byProxy(xks.ErrNoService),
	}
}

// creatingKeyStore and updatingKeyStore are the rows of those operations.
func creatingKeyStore() map[string]provocation {
	all := aboutProxies("CustomKeyStoreName")
	for code, provoke := range map[string]provocation{
		"CloudHsmClusterNotFoundException": func(h *harness, _ *provoked) string {
			h.clusters.remove(clusterID)
			return "Cluster with id " + clusterID + " not found."
		},
		"CloudHsmClusterNotActiveException":            inactiveCluster,
		"CloudHsmClusterInvalidConfigurationException": smallCluster,
		"IncorrectTrustAnchorException": func(h *harness, p *provoked) string {
			p.in["TrustAnchorCertificate"] = strangeAnchor(h.t)
			return "The trust anchor certificate in the request is not the trust anchor certificate of the cluster " + clusterID + "."
		},
		"CloudHsmClusterInUseException": func(h *harness, _ *provoked) string {
			h.clusterStore("first")
			return "The AWS CloudHSM cluster " + clusterID + " is already associated with a custom key store."
		},
	} {
		all[code] = func(h *harness, p *provoked) string {
			p.in = h.sampleClusterStore("h")
			return provoke(h, p)
		}
	}
	all["LimitExceededException"] = func(h *harness, _ *provoked) string {
		for i := range maxKeyStores {
			h.keyStore(fmt.Sprint("n", i))
		}
		return "The quota of 10 custom key stores in an account and Region is used up."
	}
	return all
}

func updatingKeyStore() map[string]provocation {
	all := aboutProxies("NewCustomKeyStoreName")
	all["CustomKeyStoreInvalidStateException"] = func(h *harness, p *provoked) string {
		p.in["XksProxyUriEndpoint"] = "https://moved.example.com"
		return storeIs("CONNECTED", "ConnectCustomKeyStore")(h, p)
	}
	for code, provoke := range map[string]provocation{
		"CloudHsmClusterNotFoundException": func(_ *harness, p *provoked) string {
			p.in["CloudHsmClusterId"] = absentCluster
			return "Cluster with id " + absentCluster + " not found."
		},
		"CloudHsmClusterNotActiveException":            inactiveCluster,
		"CloudHsmClusterInvalidConfigurationException": smallCluster,
		"CloudHsmClusterNotRelatedException": func(_ *harness, p *provoked) string {
			p.in["CloudHsmClusterId"] = otherCluster
			return "The cluster " + otherCluster + " does not share a backup history with the cluster " + clusterID + " of the custom key store."
		},
	} {
		all[code] = func(h *harness, p *provoked) string {
			p.in = m{"CustomKeyStoreId": h.clusterStore("h"), "CloudHsmClusterId": clusterID}
			return provoke(h, p)
		}
	}
	return all
}

// connectingKeyStore is the row of ConnectCustomKeyStore.
func connectingKeyStore() map[string]provocation {
	ofCluster := func(provoke provocation) provocation {
		return func(h *harness, p *provoked) string {
			p.in = m{"CustomKeyStoreId": h.clusterStore("h")}
			return provoke(h, p)
		}
	}
	return map[string]provocation{
		"CustomKeyStoreInvalidStateException": func(h *harness, p *provoked) string {
			h.outside.failing(xks.ErrUnreachable)
			return storeIs("FAILED", "ConnectCustomKeyStore")(h, p)
		},
		"CloudHsmClusterNotActiveException": ofCluster(inactiveCluster),
		"CloudHsmClusterInvalidConfigurationException": ofCluster(func(h *harness, _ *provoked) string {
			h.clusters.edit(clusterID, func(c *Cluster) { c.HSMs = nil })
			return noHSM
		}),
	}
}

// inactiveCluster is the provocation by a cluster that nobody has initialised,
// smallCluster that by one whose HSMs fail together.
func inactiveCluster(h *harness, _ *provoked) string {
	h.clusters.edit(clusterID, func(c *Cluster) { c.Active = false })
	return "The AWS CloudHSM cluster " + clusterID + " is not active. Initialize and activate the cluster and try the request again."
}

func smallCluster(h *harness, _ *provoked) string {
	h.clusters.edit(clusterID, func(c *Cluster) { c.HSMs[1].Zone = c.HSMs[0].Zone })
	return fewHSMs
}
