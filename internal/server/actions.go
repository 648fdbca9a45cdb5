package server

import (
	"slices"
	"strings"

	cloudhsmapi "github.com/strongroom/strongroom/api/cloudhsm"
	iamapi "github.com/strongroom/strongroom/api/iam"
	kmsapi "github.com/strongroom/strongroom/api/kms"
	stsapi "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/operation"
)

// Permissions that are no operations, and an operation that is no permission
// (Service Authorization Reference).
var (
	furtherActions = []string{"iam:PassRole", "kms:ReEncryptFrom", "kms:ReEncryptTo", "sts:SetContext", "sts:SetSourceIdentity", "sts:TagSession"}
	noActions      = []string{"kms:ReEncrypt"}
)

// actions are the actions of the services that are served here, sorted.
var actions = func() []string {
	all := slices.Clone(furtherActions)
	for _, service := range []*operation.Service{
		cloudhsmapi.Table(cloudhsmapi.Unimplemented{}), iamapi.Table(iamapi.Unimplemented{}), kmsapi.Table(kmsapi.Unimplemented{}), stsapi.Table(stsapi.Unimplemented{}),
	} {
		for _, row := range service.Operations {
			if !slices.Contains(noActions, row.Action) {
				all = append(all, row.Action)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}()

// actionNamed returns an action in the spelling of its service. One of KMS may be
// named without "kms:".
func actionNamed(name string) (string, bool) {
	if !strings.Contains(name, ":") {
		name = "kms:" + name
	}
	for _, action := range actions {
		if strings.EqualFold(action, name) {
			return action, true
		}
	}
	return name, false
}
