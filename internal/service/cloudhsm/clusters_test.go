package cloudhsm

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestClusterFromBeginningToEnd(t *testing.T) {
	h := newHarness(t)
	h.slots()
	created := h.ok(root, "CreateCluster", m{"HsmType": "hsm2m.medium", "Mode": "NON_FIPS", "SubnetIds": []string{subnetA, subnetB},
		"BackupRetentionPolicy": m{"Type": "DAYS", "Value": "7"}, "TagList": []m{{"Key": "Team", "Value": "pay"}}})["Cluster"].(m)
	id := created["ClusterId"].(string)
	if !regexp.MustCompile(`^cluster-[a-z2-7]{11}$`).MatchString(id) || created["State"] != "CREATE_IN_PROGRESS" {
		t.Errorf("%v", created)
	}
	got := h.describe(id)
	want := m{
		"BackupPolicy": "DEFAULT", "BackupRetentionPolicy": m{"Type": "DAYS", "Value": "7"}, "ClusterId": id, "CreateTimestamp": got["CreateTimestamp"],
		"Hsms": []any{}, "HsmType": "hsm2m.medium", "Mode": "NON_FIPS", "NetworkType": "IPV4", "State": "UNINITIALIZED", "Certificates": m{},
		"SubnetMapping": m{region + "a": subnetA, region + "b": subnetB}, "TagList": []any{m{"Key": "Team", "Value": "pay"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\ngot  %v\nwant %v", got, want)
	}

	hsm := h.ok(root, "CreateHsm", m{"ClusterId": id, "AvailabilityZone": region + "a"})["Hsm"].(m)
	if hsm["State"] != "CREATE_IN_PROGRESS" || hsm["ClusterId"] != id || hsm["SubnetId"] != subnetA || !strings.HasPrefix(hsm["HsmId"].(string), "hsm-") {
		t.Errorf("%v", hsm)
	}
	ca := newAuthority(t, "owner")
	request := h.request(id)
	signed := ca.sign(t, request)
	out := h.ok(root, "InitializeCluster", m{"ClusterId": id, "SignedCert": signed, "TrustAnchor": ca.pem})
	if out["State"] != "INITIALIZE_IN_PROGRESS" {
		t.Errorf("%v", out)
	}
	got = h.describe(id)
	if got["State"] != "ACTIVE" || got["Certificates"].(m)["ClusterCertificate"] != signed || got["Certificates"].(m)["ClusterCsr"] != nil ||
		got["Hsms"].([]any)[0].(m)["State"] != "ACTIVE" {
		t.Errorf("initialised: %v", got)
	}
	h.hsm(id, "b")
	if h.request(id) != "" || len(h.describe(id)["Hsms"].([]any)) != 2 {
		t.Error("a second HSM made another request")
	}

	h.fails(root, "DeleteCluster", m{"ClusterId": id}, "CloudHsmInvalidRequestException: Cluster "+id+" has HSMs.")
	for _, one := range h.describe(id)["Hsms"].([]any) {
		name := one.(m)["HsmId"].(string)
		if out := h.ok(root, "DeleteHsm", m{"ClusterId": id, "HsmId": name}); out["HsmId"] != name {
			t.Errorf("%v", out)
		}
		h.fails(root, "DeleteHsm", m{"ClusterId": id, "HsmId": name}, "CloudHsmResourceNotFoundException: HSM "+name+" does not exist in cluster "+id+".")
	}
	if got := h.describe(id); got["State"] != "ACTIVE" {
		t.Errorf("without HSMs it is %v", got["State"])
	}
	if out := h.ok(root, "DeleteCluster", m{"ClusterId": id})["Cluster"].(m); out["State"] != "DELETE_IN_PROGRESS" {
		t.Errorf("%v", out)
	}
	for _, name := range []string{"DeleteCluster", "ModifyCluster", "InitializeCluster", "CreateHsm", "DeleteHsm"} {
		h.fails(root, name, samples[name](h, id), "CloudHsmResourceNotFoundException: Cluster "+id+" does not exist.")
	}
	// The slots are free again, for another cluster.
	next := h.cluster()
	h.hsm(next, "a")
	h.hsm(next, "b")
}

func TestClusterParameters(t *testing.T) {
	h := newHarness(t)
	good := m{"HsmType": "hsm1.medium", "SubnetIds": []string{subnetA}}
	for _, c := range []struct {
		change m
		want   string
	}{
		{m{"HsmType": "hsm9.large"}, "CloudHsmInvalidRequestException: HsmType must be hsm1.medium or hsm2m.medium."},
		{m{"HsmType": "hsm2m.medium"}, "CloudHsmInvalidRequestException: Mode is required for HsmType hsm2m.medium."},
		{m{"Mode": "NON_FIPS"}, "CloudHsmInvalidRequestException: Mode NON_FIPS is not valid for HsmType hsm1.medium."},
		{m{"SubnetIds": []string{subnetA, subnetA}}, "CloudHsmInvalidRequestException: The subnet " + subnetA + " is given twice."},
		{m{"SubnetIds": []string{}}, "ValidationException: 1 validation error detected"},
		{m{"SourceBackupId": "backup-abcdefghijk"}, "CloudHsmResourceNotFoundException: Backup backup-abcdefghijk does not exist."},
		{m{"BackupRetentionPolicy": m{"Type": "DAYS", "Value": "6"}}, "CloudHsmInvalidRequestException: BackupRetentionPolicy must"},
		{m{"BackupRetentionPolicy": m{"Type": "DAYS", "Value": "380"}}, "CloudHsmInvalidRequestException: BackupRetentionPolicy must"},
		{m{"BackupRetentionPolicy": m{"Value": "90"}}, "CloudHsmInvalidRequestException: BackupRetentionPolicy must"},
		{m{"TagList": []m{{"Key": "aws:x", "Value": ""}}}, "CloudHsmTagException: Tag keys that begin with aws: are reserved."},
		{m{"TagList": []m{{"Key": "a", "Value": ""}, {"Key": "a", "Value": ""}}}, "CloudHsmTagException: The tag key a is given twice."},
	} {
		in := m{}
		for _, part := range []m{good, c.change} {
			for k, v := range part {
				in[k] = v
			}
		}
		h.fails(root, "CreateCluster", in, c.want)
	}
	id := h.cluster()
	if got := h.describe(id); got["Mode"] != "FIPS" || got["BackupRetentionPolicy"].(m)["Value"] != "90" {
		t.Errorf("%v", got)
	}
	h.fails(root, "ModifyCluster", m{"ClusterId": id}, "CloudHsmInvalidRequestException: HsmType or BackupRetentionPolicy must be given.")
	h.ok(root, "ModifyCluster", m{"ClusterId": id, "HsmType": "hsm2m.medium", "BackupRetentionPolicy": m{"Type": "DAYS", "Value": "30"}})
	if got := h.describe(id); got["HsmType"] != "hsm2m.medium" || got["Mode"] != "FIPS" || got["BackupRetentionPolicy"].(m)["Value"] != "30" {
		t.Errorf("%v", got)
	}
	h.fails(root, "ModifyCluster", m{"ClusterId": id, "HsmType": "hsm1.medium"}, "CloudHsmInvalidRequestException: A cluster of HsmType hsm2m.medium cannot be changed to hsm1.medium.")
}

func TestHsmParameters(t *testing.T) {
	h := newHarness(t)
	h.slots()
	h.slot("elsewhere", second+"a")
	id := h.cluster()
	h.fails(root, "CreateHsm", m{"ClusterId": id, "AvailabilityZone": region + "c"}, "CloudHsmInvalidRequestException: Cluster "+id+" has no subnet in us-east-1c.")
	h.fails(root, "CreateHsm", m{"ClusterId": id, "AvailabilityZone": second + "a"}, "CloudHsmInvalidRequestException: Cluster "+id+" has no subnet in eu-west-1a.")
	h.fails(root, "CreateHsm", m{"ClusterId": id, "AvailabilityZone": region + "a", "IpAddress": "192.0.2.1"}, "CloudHsmInvalidRequestException: IpAddress is not supported")
	hsm := h.hsm(id, "a")
	h.fails(root, "CreateHsm", m{"ClusterId": id, "AvailabilityZone": region + "a"}, "CloudHsmServiceException: There is no free HSM in us-east-1a.")
	h.fails(root, "DeleteHsm", m{"ClusterId": id}, "CloudHsmInvalidRequestException: Exactly one of")
	h.fails(root, "DeleteHsm", m{"ClusterId": id, "HsmId": hsm, "EniIp": "192.0.2.1"}, "CloudHsmInvalidRequestException: Exactly one of")
	h.fails(root, "DeleteHsm", m{"ClusterId": id, "EniIp": "192.0.2.1"}, "CloudHsmResourceNotFoundException: No HSM has a network interface here")
	// Another account has neither the slots nor the cluster.
	h.fails(foreignRoot, "CreateHsm", m{"ClusterId": id, "AvailabilityZone": region + "b"}, "CloudHsmResourceNotFoundException: Cluster "+id+" does not exist.")
	foreign := h.ok(foreignRoot, "CreateCluster", m{"HsmType": "hsm1.medium", "SubnetIds": []string{subnetA, subnetB}})["Cluster"].(m)["ClusterId"]
	h.fails(foreignRoot, "CreateHsm", m{"ClusterId": foreign, "AvailabilityZone": region + "b"}, "CloudHsmServiceException: There is no free HSM in us-east-1b.")
}

func TestInitializing(t *testing.T) {
	h := newHarness(t)
	h.slots()
	id := h.cluster()
	ca, stranger := newAuthority(t, "owner"), newAuthority(t, "owner")
	h.fails(root, "InitializeCluster", m{"ClusterId": id, "SignedCert": ca.pem, "TrustAnchor": ca.pem}, "CloudHsmInvalidRequestException: Cluster "+id+" has no certificate signing request yet")
	h.hsm(id, "a")
	signed := ca.sign(t, h.request(id))
	for what, c := range map[string]struct{ signed, anchor, want string }{
		"not PEM":                {"x", ca.pem, "SignedCert is not valid"},
		"two certificates":       {signed + signed, ca.pem, "SignedCert is not valid"},
		"text before":            {"x\n" + signed, ca.pem, "SignedCert is not valid"},
		"an anchor that is none": {signed, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "TrustAnchor is not valid"},
		"the request":            {h.request(id), ca.pem, "SignedCert is not valid"},
		"another key":            {ca.pem, ca.pem, "SignedCert does not have the public key"},
		"another signer":         {signed, stranger.pem, "SignedCert is not signed by TrustAnchor."},
		"no signer":              {signed, signed, "SignedCert is not signed by TrustAnchor."},
	} {
		h.fails(root, "InitializeCluster", m{"ClusterId": id, "SignedCert": c.signed, "TrustAnchor": c.anchor}, "CloudHsmInvalidRequestException: "+c.want)
		if h.describe(id)["State"] != "UNINITIALIZED" {
			t.Fatalf("%s initialised it", what)
		}
	}
	h.taken()
	h.ok(root, "InitializeCluster", m{"ClusterId": id, "SignedCert": "\n" + signed + "\n", "TrustAnchor": ca.pem})
	if text := fmt.Sprint(h.taken()); strings.Contains(text, "BEGIN CERTIFICATE") {
		t.Error("the record has the certificates")
	}
	h.fails(root, "InitializeCluster", m{"ClusterId": id, "SignedCert": signed, "TrustAnchor": ca.pem}, "CloudHsmInvalidRequestException: Cluster "+id+" is initialized already.")
}

// TestWhatIsReportedShows: an HSM that is not heard to answer is DEGRADED, and a
// cluster of which none is heard.
func TestWhatIsReportedShows(t *testing.T) {
	h := newHarness(t)
	id, _ := h.active()
	hsms := h.describe(id)["Hsms"].([]any)
	first, last := hsms[0].(m)["HsmId"].(string), hsms[1].(m)["HsmId"].(string)
	h.service.Report(first, "the token is gone")
	got := h.describe(id)
	if one := got["Hsms"].([]any)[0].(m); got["State"] != "ACTIVE" || one["State"] != "DEGRADED" || one["StateMessage"] != "the token is gone" {
		t.Errorf("%v", got)
	}
	h.service.Report(last, "the token is gone")
	if got := h.describe(id); got["State"] != "DEGRADED" || got["StateMessage"] != "None of the cluster's HSMs answers." {
		t.Errorf("%v", got)
	}
	h.service.Report(first, "")
	if got := h.describe(id); got["State"] != "ACTIVE" || got["Hsms"].([]any)[0].(m)["State"] != "ACTIVE" {
		t.Errorf("%v", got)
	}
}

func TestClusterAsKMSUsesIt(t *testing.T) {
	h := newHarness(t)
	id, ca := h.active()
	c, err := h.service.Cluster(t.Context(), account, region, id)
	if err != nil || !c.Initialized || string(c.Anchor) != string(ca.cert.Raw) || len(c.HSMs) != 2 || c.HSMs[0].Zone != region+"a" || c.HSMs[1].Label != "slot-b" {
		t.Fatalf("%+v, %v", c, err)
	}
	h.ok(root, "DeleteHsm", m{"ClusterId": id, "HsmId": c.HSMs[0].ID})
	if next, err := h.service.Cluster(t.Context(), account, region, id); err != nil || len(next.HSMs) != 1 || next.Version == c.Version {
		t.Errorf("%+v, %v", next, err)
	}
	if _, err := h.service.Cluster(t.Context(), other, region, id); err == nil {
		t.Error("another account has the cluster")
	}
}
