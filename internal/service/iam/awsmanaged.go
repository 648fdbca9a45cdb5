package iam

import "time"

// awsPolicy is a policy that AWS manages, under its own ARN in every account.
type awsPolicy struct {
	managed
	compiled *compiledPolicy
}

// awsPolicies are the policies of AWS that there are (AWS Managed Policy
// Reference). Times are to the minute, as that reference gives them.
var awsPolicies = []struct {
	name, description string
	path              string // "/" if empty
	version           int
	created, updated  time.Time
	document          string
}{
	{
		name:        "AdministratorAccess",
		description: "Provides full access to AWS services and resources.",
		version:     1,
		created:     time.Date(2015, 2, 6, 18, 39, 0, 0, time.UTC),
		updated:     time.Date(2015, 2, 6, 18, 39, 0, 0, time.UTC),
		document:    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	},
	{
		name:        "AWSKeyManagementServicePowerUser",
		description: "Provides access to AWS Key Management Service (KMS).",
		version:     2,
		created:     time.Date(2015, 2, 6, 18, 40, 0, 0, time.UTC),
		updated:     time.Date(2017, 3, 7, 0, 55, 0, 0, time.UTC),
		document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateAlias","kms:CreateKey","kms:DeleteAlias",` +
			`"kms:Describe*","kms:GenerateRandom","kms:Get*","kms:List*","kms:TagResource","kms:UntagResource",` +
			`"iam:ListGroups","iam:ListRoles","iam:ListUsers"],"Resource":"*"}]}`,
	},
	{
		// Of its many services only those that are served here.
		name:        "ReadOnlyAccess",
		description: "Provides read-only access to AWS services and resources.",
		version:     1,
		document: `{"Version":"2012-10-17","Statement":[{"Sid":"ReadOnlyActions","Effect":"Allow","Action":[` +
			`"cloudhsm:Describe*","cloudhsm:Get*","cloudhsm:List*","cloudtrail:Describe*","cloudtrail:Get*","cloudtrail:List*","cloudtrail:LookupEvents",` +
			`"iam:Generate*","iam:Get*","iam:List*","iam:Simulate*","kms:Describe*","kms:Get*","kms:List*",` +
			`"sts:GetAccessKeyInfo","sts:GetCallerIdentity","sts:GetSessionToken"],"Resource":"*"}]}`,
	},
	{
		name:        "AWSKeyManagementServiceCustomKeyStoresServiceRolePolicy",
		path:        linkedPath,
		description: "Enables access to AWS services and resources required for AWS KMS custom key stores",
		version:     2,
		created:     time.Date(2018, 11, 14, 20, 10, 0, 0, time.UTC),
		updated:     time.Date(2023, 11, 10, 19, 3, 0, 0, time.UTC),
		document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudhsm:Describe*","ec2:CreateNetworkInterface",` +
			`"ec2:AuthorizeSecurityGroupIngress","ec2:CreateSecurityGroup","ec2:DescribeSecurityGroups","ec2:RevokeSecurityGroupEgress",` +
			`"ec2:DeleteSecurityGroup","ec2:DescribeVpcs","ec2:DescribeNetworkAcls","ec2:DescribeNetworkInterfaces"],"Resource":"*"}]}`,
	},
	{
		name:        "AWSKeyManagementServiceMultiRegionKeysServiceRolePolicy",
		path:        linkedPath,
		description: "Enables AWS KMS to synchronize the shared properties of multi-Region keys.",
		version:     2,
		created:     time.Date(2021, 6, 16, 15, 37, 0, 0, time.UTC),
		updated:     time.Date(2024, 11, 13, 22, 53, 0, 0, time.UTC),
		document:    `{"Version":"2012-10-17","Statement":[{"Sid":"KMSSynchronizeMultiRegionKey","Effect":"Allow","Action":["kms:SynchronizeMultiRegionKey"],"Resource":"*"}]}`,
	},
}

// compileAWS returns AWS's policies by their ARNs in a partition.
func compileAWS(partition string) map[string]*awsPolicy {
	all := map[string]*awsPolicy{}
	for _, p := range awsPolicies {
		path := pathOr(p.path)
		arn := "arn:" + partition + ":iam::aws:policy" + path + p.name
		compiled, err := compile(arn, p.document)
		if err != nil {
			panic(err) // a mistake in the program
		}
		all[arn] = &awsPolicy{compiled: compiled, managed: managed{ARN: arn, aws: true, policyRecord: policyRecord{
			Name: p.name, Path: path, Description: p.description, Created: p.created, Updated: p.updated,
			Versions: []policyVersion{{Number: p.version, Document: p.document, Created: p.updated}}, Default: p.version, Last: p.version,
		}}}
	}
	return all
}

// awsManaged returns a copy of one of AWS's policies, or nil.
func (s *Service) awsManaged(arn string) *managed {
	p := s.aws[arn]
	if p == nil {
		return nil
	}
	m := p.managed
	return &m
}

func (s *Service) allAWSManaged() []*managed {
	var all []*managed
	for arn := range s.aws {
		all = append(all, s.awsManaged(arn))
	}
	return all
}
