package cloudhsm

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/apigen/model"
)

const aBackup = "backup-abcdefghijk"

// samples are valid inputs of the operations, made for a cluster. A row for each is
// compulsory.
var samples = map[string]func(h *harness, id string) m{
	"CreateCluster": func(*harness, string) m { return m{"HsmType": "hsm1.medium", "SubnetIds": []string{subnetA}} },
	"CreateHsm": func(_ *harness, id string) m {
		return m{"ClusterId": id, "AvailabilityZone": region + "a"}
	},
	"DeleteCluster":    justCluster,
	"DeleteHsm":        func(_ *harness, id string) m { return m{"ClusterId": id, "HsmId": "hsm-abcdefghijk"} },
	"DescribeBackups":  func(*harness, string) m { return m{"Filters": m{"states": []string{"READY"}}} },
	"DescribeClusters": func(*harness, string) m { return m{} },
	"InitializeCluster": func(h *harness, id string) m {
		ca := newAuthority(h.t, "owner")
		return m{"ClusterId": id, "SignedCert": ca.pem, "TrustAnchor": ca.pem}
	},
	"ListTags": func(_ *harness, id string) m { return m{"ResourceId": id} },
	"ModifyCluster": func(_ *harness, id string) m {
		return m{"ClusterId": id, "BackupRetentionPolicy": m{"Type": "DAYS", "Value": "9"}}
	},
	"TagResource": func(_ *harness, id string) m {
		return m{"ResourceId": id, "TagList": []m{{"Key": "k", "Value": "v"}}}
	},
	"UntagResource":          func(_ *harness, id string) m { return m{"ResourceId": id, "TagKeyList": []string{"k"}} },
	"CopyBackupToRegion":     func(*harness, string) m { return m{"BackupId": aBackup, "DestinationRegion": second} },
	"DeleteBackup":           justBackup,
	"RestoreBackup":          justBackup,
	"ModifyBackupAttributes": func(*harness, string) m { return m{"BackupId": aBackup, "NeverExpires": true} },
	"DeleteResourcePolicy":   justPolicy,
	"GetResourcePolicy":      justPolicy,
	"PutResourcePolicy":      func(*harness, string) m { return m{"ResourceArn": backupARN, "Policy": "{}"} },
}

const backupARN = "arn:aws:cloudhsm:" + region + ":" + account + ":backup/" + aBackup

func justCluster(_ *harness, id string) m { return m{"ClusterId": id} }
func justBackup(*harness, string) m       { return m{"BackupId": aBackup} }
func justPolicy(*harness, string) m       { return m{"ResourceArn": backupARN} }

// outcomes are what the samples come to that do not succeed.
var outcomes = map[string]string{
	"DeleteHsm": "CloudHsmResourceNotFoundException", "InitializeCluster": "CloudHsmInvalidRequestException",
	"CopyBackupToRegion": "CloudHsmResourceNotFoundException", "DeleteBackup": "CloudHsmResourceNotFoundException",
	"RestoreBackup": "CloudHsmResourceNotFoundException", "ModifyBackupAttributes": "CloudHsmResourceNotFoundException",
	"DeleteResourcePolicy": "CloudHsmResourceNotFoundException", "GetResourcePolicy": "CloudHsmResourceNotFoundException",
	"PutResourcePolicy": "CloudHsmResourceNotFoundException",
}

// built returns the operations that Service has a method for: all of them.
func built(t *testing.T) []string {
	t.Helper()
	table := api.Table(api.Unimplemented{})
	var names []string
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && table.Lookup(fn.Name.Name) != nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	if len(names) != len(table.Operations) || len(samples) != len(names) {
		t.Fatalf("%d operations, %d samples", len(names), len(samples))
	}
	return names
}

// TestEveryOperationAsksAndRecords calls every operation as someone whom no policy
// allows anything, and as the root: the one is refused, the other not, and each call
// leaves one record that says which it was.
func TestEveryOperationAsksAndRecords(t *testing.T) {
	for _, name := range built(t) {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.slots()
			in := samples[name](h, h.cluster())
			h.taken()
			h.fails(user, name, in, "AccessDeniedException")
			if r := h.taken(); len(r) != 1 || r[0]["eventName"] != name || r[0]["errorCode"] != "AccessDeniedException" || r[0]["eventSource"] != "cloudhsm.amazonaws.com" {
				t.Errorf("the record of the denial is %v", r)
			}
			if code := outcomes[name]; code != "" {
				h.fails(root, name, in, code)
			} else {
				h.ok(root, name, in)
			}
			r := h.taken()
			if len(r) != 1 || r[0]["eventName"] != name || fmt.Sprint(r[0]["errorCode"]) != map[bool]string{true: "<nil>", false: outcomes[name]}[outcomes[name] == ""] {
				t.Errorf("the records are %v", r)
			}
			h.allowed = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cloudhsm:` + name + `","Resource":"*"}}`
			if _, failure, _ := h.send(user, name, in); strings.HasPrefix(failure, "AccessDenied") {
				t.Errorf("as a user who is allowed to: %s", failure)
			}
		})
	}
}

// TestModelledErrorsAreThoseAnswered: what the samples come to is in the model.
func TestModelledErrorsAreThoseAnswered(t *testing.T) {
	facts, err := model.Load("../../../models", "cloudhsm")
	if err != nil {
		t.Fatal(err)
	}
	for name, code := range outcomes {
		found := false
		for _, modelled := range facts.Operations[name].Errors {
			found = found || modelled == code
		}
		if !found {
			t.Errorf("%s answers %s, which its model does not list", name, code)
		}
	}
}

// TestPermissionsOnClusters: policies can name clusters and their tags.
func TestPermissionsOnClusters(t *testing.T) {
	h := newHarness(t)
	mine, yours := h.cluster(), h.cluster()
	h.ok(root, "TagResource", m{"ResourceId": mine, "TagList": []m{{"Key": "Owner", "Value": "alice"}}})
	h.allowed = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cloudhsm:*","Resource":"arn:aws:cloudhsm:*:*:cluster/*","Condition":{"StringEquals":{"aws:ResourceTag/Owner":"alice"}}}}`
	h.ok(user, "ListTags", m{"ResourceId": mine})
	h.fails(user, "ListTags", m{"ResourceId": yours}, "AccessDeniedException")
	h.fails(user, "DescribeClusters", m{}, "AccessDeniedException")
	h.fails(user, "TagResource", m{"ResourceId": absent, "TagList": []m{{"Key": "a", "Value": "b"}}}, "AccessDeniedException")
	h.allowed = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cloudhsm:CreateCluster","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Owner":"alice"},"ForAllValues:StringEquals":{"aws:TagKeys":"Owner"}}}}`
	h.fails(user, "CreateCluster", m{"HsmType": "hsm1.medium", "SubnetIds": []string{subnetA}}, "AccessDeniedException")
	h.ok(user, "CreateCluster", m{"HsmType": "hsm1.medium", "SubnetIds": []string{subnetA}, "TagList": []m{{"Key": "Owner", "Value": "alice"}}})
}

func TestListsHavePages(t *testing.T) {
	h := newHarness(t)
	made := map[string]bool{}
	for range 7 {
		made[h.cluster()] = true
	}
	var token any
	seen := map[string]bool{}
	for pages := 1; ; pages++ {
		in := m{"MaxResults": 3, "Filters": m{"states": []string{"UNINITIALIZED"}}}
		if token != nil {
			in["NextToken"] = token
		}
		out := h.ok(root, "DescribeClusters", in)
		for _, c := range out["Clusters"].([]any) {
			id := c.(m)["ClusterId"].(string)
			if seen[id] {
				t.Errorf("%s is listed twice", id)
			}
			seen[id] = true
		}
		if token = out["NextToken"]; token == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		h.fails(foreignRoot, "DescribeClusters", m{"NextToken": token}, "CloudHsmInvalidRequestException: The NextToken")
		h.fails(root, "DescribeBackups", m{"NextToken": token}, "CloudHsmInvalidRequestException: The NextToken")
	}
	if fmt.Sprint(seen) != fmt.Sprint(made) {
		t.Errorf("%v, want %v", seen, made)
	}
	for _, filters := range []m{{"vpcIds": []string{"vpc-1"}}, {"states": []string{"ACTIVE"}}, {"clusterIds": []string{}}} {
		if list := h.ok(root, "DescribeClusters", m{"Filters": filters})["Clusters"].([]any); len(list) != 0 {
			t.Errorf("%v lets %d through", filters, len(list))
		}
	}
	h.fails(root, "DescribeClusters", m{"Filters": m{"colour": []string{"red"}}}, "CloudHsmInvalidRequestException: There is no filter colour")
	h.fails(root, "DescribeBackups", m{"Filters": m{"colour": []string{"red"}}}, "CloudHsmInvalidRequestException: There is no filter colour")
	h.fails(root, "DescribeClusters", m{"NextToken": "x"}, "CloudHsmInvalidRequestException: The NextToken")
	if list := h.ok(foreignRoot, "DescribeClusters", m{})["Clusters"].([]any); len(list) != 0 {
		t.Errorf("another account sees %d clusters", len(list))
	}
	h.region = second
	if list := h.ok(root, "DescribeClusters", m{})["Clusters"].([]any); len(list) != 0 {
		t.Errorf("another region has %d clusters", len(list))
	}
}

func TestTags(t *testing.T) {
	h := newHarness(t)
	id := h.cluster()
	tags := func(from, to int) (list []m) {
		for i := from; i < to; i++ {
			list = append(list, m{"Key": fmt.Sprint("k", i), "Value": fmt.Sprint(i)})
		}
		return list
	}
	h.ok(root, "TagResource", m{"ResourceId": id, "TagList": tags(0, 50)})
	h.fails(root, "TagResource", m{"ResourceId": id, "TagList": tags(50, 51)}, "CloudHsmResourceLimitExceededException: A cluster has at most 50 tags.")
	h.fails(root, "TagResource", m{"ResourceId": id, "TagList": []m{{"Key": "AWS:x", "Value": ""}}}, "CloudHsmTagException: Tag keys that begin with aws: are reserved.")
	h.ok(root, "UntagResource", m{"ResourceId": id, "TagKeyList": []string{"k0", "k1", "none"}})
	first := h.ok(root, "ListTags", m{"ResourceId": id, "MaxResults": 47})
	rest := h.ok(root, "ListTags", m{"ResourceId": id, "MaxResults": 47, "NextToken": first["NextToken"]})
	if a, b := first["TagList"].([]any), rest["TagList"].([]any); len(a) != 47 || len(b) != 1 || b[0].(m)["Key"] != "k49" || rest["NextToken"] != nil {
		t.Errorf("%d and %v", len(a), b)
	}
	elsewhere := h.cluster()
	h.fails(root, "ListTags", m{"ResourceId": elsewhere, "NextToken": first["NextToken"]}, "CloudHsmInvalidRequestException: The NextToken")
	if list := h.ok(root, "ListTags", m{"ResourceId": elsewhere})["TagList"].([]any); len(list) != 0 {
		t.Errorf("%v", list)
	}
	h.fails(root, "ListTags", m{"ResourceId": aBackup}, "CloudHsmResourceNotFoundException: Backup "+aBackup+" does not exist.")
	h.fails(root, "ListTags", m{"ResourceId": absent}, "CloudHsmResourceNotFoundException: Cluster "+absent+" does not exist.")
	h.fails(root, "GetResourcePolicy", m{"ResourceArn": "arn:aws:cloudhsm:us-east-1:" + account + ":cluster/" + id}, "CloudHsmInvalidRequestException: ResourceArn must be the ARN of a backup")
	h.fails(root, "GetResourcePolicy", m{}, "CloudHsmInvalidRequestException: ResourceArn must be the ARN of a backup")
}
