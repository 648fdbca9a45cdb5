package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// XKSRequest asks for something of the stores that are offered to another KMS.
type XKSRequest struct {
	// Verb is one of those in xksVerbs.
	Verb string `json:"verb"`
	// Store is the store's name; empty for list.
	Store string `json:"store,omitempty"`
	// Account and Region are where a new store's keys are; if empty, the server's
	// account and its first region.
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
	// Keys are the ids of the keys to offer: create, keys.
	Keys []string `json:"keys,omitempty"`
	// Rules say who may use the store: create, allow.
	Rules *XKSRules `json:"rules,omitempty"`
	// AccessKeyID is the credential to remove.
	AccessKeyID string `json:"accessKeyId,omitempty"`
}

// XKSRules are patterns on what the other KMS says of a request.
type XKSRules struct {
	Principals   []string `json:"principals,omitempty"`
	KMSKeys      []string `json:"kmsKeys,omitempty"`
	Operations   []string `json:"operations,omitempty"`
	Services     []string `json:"services,omitempty"`
	VPCs         []string `json:"vpcs,omitempty"`
	VPCEndpoints []string `json:"vpcEndpoints,omitempty"`
	TrustKMS     bool     `json:"trustKms,omitempty"`
}

// XKSStore is a store as it is shown.
type XKSStore struct {
	Name        string     `json:"name"`
	Path        string     `json:"path"`
	Account     string     `json:"account"`
	Region      string     `json:"region"`
	Created     time.Time  `json:"created"`
	Keys        []string   `json:"keys"`
	Rules       XKSRules   `json:"rules"`
	Killed      *time.Time `json:"killed,omitempty"`
	Credentials []string   `json:"credentials"`
}

// XKSCredential is a credential, in the one answer that shows its secret.
type XKSCredential struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// XKSReply is the answer: the stores that were asked for or changed, and the
// credential that was made.
type XKSReply struct {
	Stores     []XKSStore     `json:"stores"`
	Credential *XKSCredential `json:"credential,omitempty"`
}

// XKS answers requests about the stores that are offered.
type XKS func(ctx context.Context, in XKSRequest) (XKSReply, error)

// xksVerbs are what can be asked for, and whether it changes anything.
var xksVerbs = map[string]bool{
	"list": false, "show": false,
	"create": true, "keys": true, "allow": true, "add-credential": true, "remove-credential": true, "kill": true, "revive": true, "delete": true,
}

// maxXKSBody bounds a request about stores, in bytes.
const maxXKSBody = 1 << 20

func (s *Server) parseXKS(r *http.Request) (request, error) {
	if _, err := parseQuery(r); err != nil {
		return request{}, err
	}
	if s.cfg.XKS == nil {
		return request{}, errors.New("this server offers no keys")
	}
	var in XKSRequest
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxXKSBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return request{}, fmt.Errorf("the request: %w", err)
	}
	change, known := xksVerbs[in.Verb]
	if !known {
		return request{}, fmt.Errorf("this server does not know %q; is the command of another version?", in.Verb)
	}
	params := map[string]string{"store": in.Store, "account": in.Account, "region": in.Region, "keys": strings.Join(in.Keys, ","), "accessKeyId": in.AccessKeyID}
	if in.Rules != nil {
		rules, err := json.Marshal(in.Rules)
		if err != nil {
			return request{}, err
		}
		params["rules"] = string(rules)
	}
	for name, value := range params {
		if value == "" {
			delete(params, name)
		}
	}
	return request{
		event: "Xks" + camel(in.Verb), writes: change, params: params,
		answer: func(ctx context.Context, emit emitter) error {
			reply, err := s.cfg.XKS(ctx, in)
			if err != nil {
				return err
			}
			return emitJSON(emit, reply)
		},
	}, nil
}

// camel spells a verb as events are: AddCredential.
func camel(verb string) string {
	parts := strings.Split(verb, "-")
	for i, part := range parts {
		parts[i] = strings.ToUpper(part[:1]) + part[1:]
	}
	return strings.Join(parts, "")
}

// XKS asks a running server about the stores that are offered.
func (c *Client) XKS(ctx context.Context, in XKSRequest) (XKSReply, error) {
	var reply *XKSReply
	body, err := json.Marshal(in)
	if err != nil {
		return XKSReply{}, err
	}
	err = c.ask(ctx, http.MethodPost, "/v1/xks", nil, body, func(line []byte) error {
		reply = &XKSReply{}
		return json.Unmarshal(line, reply)
	})
	if err == nil && reply == nil {
		err = errors.New("the server's answer is empty")
	}
	if err != nil {
		return XKSReply{}, err
	}
	return *reply, nil
}
