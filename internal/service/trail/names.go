package trail

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
)

// place is where a trail is looked for: by a name in the caller's region, or by
// an ARN.
type place struct{ region, name string }

func (p place) arn(call *authz.Call) string {
	return delivery.ARN(call.Partition, p.region, call.Principal.Account, p.name)
}

// locate reads a trail's name or ARN. The trail of another account is one that
// the caller's has not.
func (s *Service) locate(call *authz.Call, nameOrARN string) (place, error) {
	if !strings.HasPrefix(nameOrARN, "arn:") {
		return place{call.Region, nameOrARN}, checkName(nameOrARN)
	}
	parts := strings.SplitN(nameOrARN, ":", 6)
	if len(parts) != 6 || parts[2] != "cloudtrail" || !strings.HasPrefix(parts[5], "trail/") {
		return place{}, api.CloudTrailARNInvalidException("The trail ARN " + clip(nameOrARN) + " is not valid. Its form is arn:" + call.Partition + ":cloudtrail:region:account:trail/name.")
	}
	name := strings.TrimPrefix(parts[5], "trail/")
	if err := checkName(name); err != nil {
		return place{}, err
	}
	if parts[1] != call.Partition || parts[4] != call.Principal.Account || !slices.Contains(s.Regions, parts[3]) {
		return place{}, unknownTrail(call, nameOrARN)
	}
	return place{parts[3], name}, nil
}

func unknownTrail(call *authz.Call, nameOrARN string) error {
	return api.TrailNotFoundException("Unknown trail: " + clip(nameOrARN) + " for the user: " + call.Principal.Account)
}

// clip bounds what of a request an error repeats.
func clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// The rules for a trail's name (API Reference, CreateTrail).
const (
	leastName = 3
	mostName  = 128
)

var (
	nameCharacters = regexp.MustCompile(`\A[A-Za-z0-9._-]*\z`)
	nameDoubled    = regexp.MustCompile(`[._-]{2}`)
)

func checkName(name string) error {
	problem := ""
	switch {
	case name == "":
		problem = "Trail name cannot be blank!"
	case !nameCharacters.MatchString(name):
		problem = "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_)."
	case len(name) < leastName:
		problem = "Trail name too short. Minimum allowed length: 3 characters."
	case len(name) > mostName:
		problem = "Trail name too long. Maximum allowed length: 128 characters."
	case strings.ContainsAny(name[:1], "._-"):
		problem = "Trail name must start with a letter or number."
	case strings.ContainsAny(name[len(name)-1:], "._-"):
		problem = "Trail name must end with a letter or number."
	case nameDoubled.MatchString(name):
		problem = "Trail name must not have adjacent periods, underscores or dashes."
	case isIPv4(name):
		problem = "Trail name must not be in IP address format."
	default:
		return nil
	}
	return api.InvalidTrailNameException(problem)
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// The rules for a bucket's name (S3, "Bucket naming rules") and a prefix
// (CreateTrail).
const mostPrefix = 200

var bucketName = regexp.MustCompile(`\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z`)

func checkBucket(name string) error {
	if !bucketName.MatchString(name) || strings.Contains(name, "..") || isIPv4(name) {
		return api.InvalidS3BucketNameException("S3 bucket name " + clip(name) + " is not valid.")
	}
	return nil
}

func checkPrefix(prefix string) error {
	for _, r := range prefix {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return api.InvalidS3PrefixException("The S3 prefix contains a character that is not allowed.")
		}
	}
	switch {
	case len(prefix) > mostPrefix:
		return api.InvalidS3PrefixException("The S3 prefix is longer than 200 characters.")
	case strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "//"):
		return api.InvalidS3PrefixException("The S3 prefix must neither begin nor end with a slash, nor have two in a row.")
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "." || part == ".." {
			return api.InvalidS3PrefixException("The S3 prefix must not contain . or .. as a part.")
		}
	}
	return nil
}
