package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/apigen/model"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/wire"
)

// An edge is a service's generated package beside the model that it was made
// from. The tests of this package hold the one against the other, with request
// bodies, texts and answers that they work out by themselves.
type edge struct {
	*model.Model
	name  string
	table *operation.Service
}

func edges(t testing.TB) []*edge {
	var all []*edge
	for name, table := range map[string]*operation.Service{
		"cloudhsm":   cloudhsm.Table(cloudhsm.Unimplemented{}),
		"cloudtrail": cloudtrail.Table(cloudtrail.Unimplemented{}),
		"iam":        iam.Table(iam.Unimplemented{}),
		"kms":        kms.Table(kms.Unimplemented{}),
		"sts":        sts.Table(sts.Unimplemented{}),
	} {
		m, err := model.Load("../models", name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &edge{Model: m, name: name, table: table})
	}
	return all
}

// patterns has, for every pattern of the models' requests, the same in Go's
// syntax, written by hand, and a value that it takes. The last character of the
// value may be repeated.
var patterns = map[string]struct {
	re     *regexp.Regexp
	sample string
}{
	`[0-9]{12}`:                          {regexp.MustCompile(`^[0-9]{12}$`), "111122223333"},
	`^[a-zA-Z0-9:/_-]+$`:                 {regexp.MustCompile(`^[a-zA-Z0-9:/_-]+$`), "alias/a"},
	`^[a-f0-9]+$`:                        {regexp.MustCompile(`^[a-f0-9]+$`), strings.Repeat("0", 64)},
	`cluster-[2-7a-zA-Z]{11,16}`:         {regexp.MustCompile(`^cluster-[2-7a-zA-Z]{11,16}$`), "cluster-abcdefghijk"},
	`^[a-zA-Z0-9:/_\s.-]+$`:              {regexp.MustCompile("^[a-zA-Z0-9:/_ \t\n\v\f\r.-]+$"), "first key"},
	`[\u0020-\u00FF]*`:                   {regexp.MustCompile(`^[ -ÿ]*$`), "marker ÿ1"},
	`[\w]+`:                              {regexp.MustCompile(`^[a-zA-Z_0-9]+$`), "default"},
	`[\u0009\u000A\u000D\u0020-\u00FF]+`: {regexp.MustCompile("^[\t\n\r -ÿ]+$"), "{\n}"},
	`^[\w+=,.@:/-]+$`:                    {regexp.MustCompile(`^[a-zA-Z_0-9+=,.@:/-]+$`), "arn:aws:iam::111122223333:root"},
	`^([a-z]+-){2,3}\d+$`:                {regexp.MustCompile(`^[a-z]+-[a-z]+-([a-z]+-)?[0-9]+$`), "eu-north-1"},
	`^[a-zA-Z0-9-_.]+$`:                  {regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`), "key-1"},
	`^[A-Z2-7]+$`:                        {regexp.MustCompile(`^[A-Z2-7]+$`), strings.Repeat("A", 20)},
	`^[a-zA-Z0-9\/+=]+$`:                 {regexp.MustCompile(`^[a-zA-Z0-9/+=]+$`), strings.Repeat("a", 43)},
	`^https://[a-zA-Z0-9.-]+$`:           {regexp.MustCompile(`^https://[a-zA-Z0-9.-]+$`), "https://xks.example"},
	`^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`:       {regexp.MustCompile(`^(/[a-zA-Z0-9/_-]+)?/kms/xks/v[0-9]{1,2}$`), "/a/kms/xks/v1"},
	`^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`: {regexp.MustCompile(`^(com|eu)\.amazonaws\.vpce\.[a-z]+-[a-z]+-([a-z]+-)?[0-9]+\.vpce-svc-[0-9a-z]+$`), "com.amazonaws.vpce.us-east-1.vpce-svc-0"},
	`^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$`:             {regexp.MustCompile(`^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$`), "arn:aws:rds:us-east-1:111122223333:db:x"},
	`^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$`:            {regexp.MustCompile(`^[A-Za-z0-9-]+\.[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`), "s3.amazonaws.com"},
	`[\w]*`: {regexp.MustCompile(`^[a-zA-Z_0-9]*$`), "AKIAIOSFODNN7EXAMPLE"},
	`[\d]*`: {regexp.MustCompile(`^[0-9]*$`), "123456"},
	`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`: {regexp.MustCompile("^[\t\n\r -~\u0085\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+$"), "arn:aws:iam::111122223333:role/x"},
	`[\w+=,.@:\/-]*`:                          {regexp.MustCompile(`^[a-zA-Z_0-9+=,.@:/-]*$`), "external-id"},
	`[\w+=,.@-]*`:                             {regexp.MustCompile(`^[a-zA-Z_0-9+=,.@-]*$`), "session"},
	`[\w+=/:,.@-]*`:                           {regexp.MustCompile(`^[a-zA-Z_0-9+=/:,.@-]*$`), "GAHT12345678"},
	`[\p{L}\p{Z}\p{N}_.:/=+\-@]+`:             {regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+@-]+$`), "Team é1"},
	`[\p{L}\p{Z}\p{N}_.:/=+\-@]*`:             {regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+@-]*$`), "blue"},
	`((/[A-Za-z0-9\.,\+@=_-]+)*)/`:            {regexp.MustCompile(`^(/[A-Za-z0-9.,+@=_-]+)*/$`), "/a/b/"},
	`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`: {regexp.MustCompile(`^(/|/[!-~]+/)$`), "/team/"},
	`[ -~]+`:    {regexp.MustCompile(`^[ -~]+$`), "aws:username"},
	`[:\w]+`:    {regexp.MustCompile(`^[:a-zA-Z_0-9]+$`), "kms:Encrypt"},
	`[A-Z0-9]+`: {regexp.MustCompile(`^[A-Z0-9]+$`), strings.Repeat("A", 22)},
	`[\d]+`:     {regexp.MustCompile(`^[0-9]+$`), "123456"},
	`[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`: {regexp.MustCompile("^[\t\n\r -~¡-ÿ]*$"), "a é a"},
	`[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]+`: {regexp.MustCompile("^[\t\n\r -~¡-ÿ]+$"), "b é b"},
	`[\u0020-\u00FF]+`:       {regexp.MustCompile(`^[ -ÿ]+$`), "marker ÿ2"},
	`[\w+=,.@-]+`:            {regexp.MustCompile(`^[a-zA-Z_0-9+=,.@-]+$`), "alice"},
	`[\w+=/:,.@-]+`:          {regexp.MustCompile(`^[a-zA-Z_0-9+=/:,.@-]+$`), "arn:aws:iam::111122223333:mfa/a"},
	`[\w-]*`:                 {regexp.MustCompile(`^[a-zA-Z_0-9-]*$`), "kms"},
	`[\w-]+`:                 {regexp.MustCompile(`^[a-zA-Z_0-9-]+$`), "a-b"},
	`[\w._-]+`:               {regexp.MustCompile(`^[a-zA-Z_0-9._-]+$`), "provider.1"},
	`\d{12}`:                 {regexp.MustCompile(`^[0-9]{12}$`), "111122223333"},
	`\u002F[\u0021-\u007F]*`: {regexp.MustCompile(`^/[!-\x7f]*$`), "/team"},
	`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`: {regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]-?[a-z0-9]|-[a-z0-9])(-?[a-z0-9])*$`), "my-alias0"},
	`^[a-zA-Z0-9:/+=,.@_-]+$`:                   {regexp.MustCompile(`^[a-zA-Z0-9:/+=,.@_-]+$`), "a=b"},
	`^[a-zA-Z0-9:_.-]+$`:                        {regexp.MustCompile(`^[a-zA-Z0-9:_.-]+$`), "sns.1"},
	`^http(s?)://[a-zA-Z0-9._/-]*(\?[a-zA-Z0-9._=&-]*)?(#[a-zA-Z0-9._/-]*)?$`: {regexp.MustCompile(`^https?://[a-zA-Z0-9._/-]*(\?[a-zA-Z0-9._=&-]*)?(#[a-zA-Z0-9._/-]*)?$`), "https://a.example/b"},
	`^o-[0-9a-z]{10,32}\/r-[0-9a-z]{4,32}[0-9a-z-\/]*`:                        {regexp.MustCompile(`^o-[0-9a-z]{10,32}/r-[0-9a-z]{4,32}[0-9a-z/-]*$`), "o-a1b2c3d4e5/r-f6g7h8i9j0"},
	`^o-[a-z0-9]{10,32}$`:                   {regexp.MustCompile(`^o-[a-z0-9]{10,32}$`), "o-a1b2c3d4e5"},
	`^p-[0-9a-zA-Z_]{8,128}$`:               {regexp.MustCompile(`^p-[0-9a-zA-Z_]{8,128}$`), "p-abcdefgh"},
	`[\w|\d|\.|_]+`:                         {regexp.MustCompile(`^[a-zA-Z_0-9|.]+$`), "eventCategory"},
	`^[a-zA-Z0-9._/\-:]+$`:                  {regexp.MustCompile(`^[a-zA-Z0-9._/:-]+$`), "arn:aws:cloudtrail:x"},
	`backup-[2-7a-zA-Z]{11,16}`:             {regexp.MustCompile(`^backup-[2-7a-zA-Z]{11,16}$`), "backup-abcdefghijk"},
	`hsm-[2-7a-zA-Z]{11,16}`:                {regexp.MustCompile(`^hsm-[2-7a-zA-Z]{11,16}$`), "hsm-abcdefghijk"},
	`eni-[0-9a-fA-F]{8,17}`:                 {regexp.MustCompile(`^eni-[0-9a-fA-F]{8,17}$`), "eni-01234567"},
	`sg-[0-9a-fA-F]{8,17}`:                  {regexp.MustCompile(`^sg-[0-9a-fA-F]{8,17}$`), "sg-01234567"},
	`vpc-[0-9a-fA-F]`:                       {regexp.MustCompile(`^vpc-[0-9a-fA-F]$`), "vpc-0"},
	`subnet-[0-9a-fA-F]{8,17}`:              {regexp.MustCompile(`^subnet-[0-9a-fA-F]{8,17}$`), "subnet-01234567"},
	`[0-9]+`:                                {regexp.MustCompile(`^[0-9]+$`), "9"},
	`[a-zA-Z0-9_-]+`:                        {regexp.MustCompile(`^[a-zA-Z0-9_-]+$`), "states"},
	`[a-zA-Z0-9+-/=\s]*`:                    {regexp.MustCompile("^[a-zA-Z0-9+,./=\t\n\v\f\r -]*$"), "MIIB\n"},
	`((p|)hsm[0-9][a-z.]*\.[a-zA-Z]+)`:      {regexp.MustCompile(`^p?hsm[0-9][a-z.]*\.[a-zA-Z]+$`), "hsm2m.medium"},
	`\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}`:    {regexp.MustCompile(`^([0-9]{1,3}\.){3}[0-9]{1,3}$`), "192.0.2.1"},
	`(?:cluster|backup)-[2-7a-zA-Z]{11,16}`: {regexp.MustCompile(`^(cluster|backup)-[2-7a-zA-Z]{11,16}$`), "cluster-abcdefghijk"},
	`[a-z]{2}(-(gov))?-(east|west|north|south|central){1,2}-\d`:      {regexp.MustCompile(`^[a-z]{2}(-gov)?-(east|west|north|south|central){1,2}-[0-9]$`), "us-east-1"},
	`[a-z]{2}(-(gov))?-(east|west|north|south|central){1,2}-\d[a-z]`: {regexp.MustCompile(`^[a-z]{2}(-gov)?-(east|west|north|south|central){1,2}-[0-9][a-z]$`), "us-east-1a"},
	`^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`:                                {regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+@-]*$`), "Team"},
	`^(arn:aws(-(us-gov))?:cloudhsm:([a-z]{2}(-(gov|isob|iso))?-(east|west|north|south|central){1,2}-[0-9]{1}):[0-9]{12}:backup/)?backup-[2-7a-zA-Z]{11,16}`:                       {regexp.MustCompile(`^(arn:aws(-us-gov)?:cloudhsm:[a-z]{2}(-gov|-isob|-iso)?-(east|west|north|south|central){1,2}-[0-9]:[0-9]{12}:backup/)?backup-[2-7a-zA-Z]{11,16}$`), "backup-abcdefghijk"},
	`arn:aws(-(us-gov))?:cloudhsm:([a-z]{2}(-(gov|isob|iso))?-(east|west|north|south|central){1,2}-[0-9]{1}):[0-9]{12}:(backup/backup|cluster/cluster|hsm/hsm)-[2-7a-zA-Z]{11,16}`: {regexp.MustCompile(`^arn:aws(-us-gov)?:cloudhsm:[a-z]{2}(-gov|-isob|-iso)?-(east|west|north|south|central){1,2}-[0-9]:[0-9]{12}:(backup/backup|cluster/cluster|hsm/hsm)-[2-7a-zA-Z]{11,16}$`), "arn:aws:cloudhsm:us-east-1:111122223333:backup/backup-abcdefghijk"},
	`.+`:                             {regexp.MustCompile(`^[^\n\r\x{85}\x{2028}\x{2029}]+$`), "Management"},
	`.*`:                             {regexp.MustCompile(`^[^\n\r\x{85}\x{2028}\x{2029}]*$`), "token"},
	`v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`: {regexp.MustCompile(`^v[1-9][0-9]*(\.[A-Za-z0-9-]*)?$`), "v1"},
}

// sample returns a value of the shape that every constraint allows: strings,
// numbers, booleans, lists and maps as encoding/json has them, blobs as []byte.
func (e *edge) sample(t testing.TB, shape string) any {
	s := e.Shapes[shape]
	switch s.Type {
	case "string":
		switch {
		case s.Enum != nil:
			return s.Enum[len(s.Enum)-1]
		case s.Pattern != "":
			p, ok := patterns[s.Pattern]
			if !ok {
				t.Fatalf("no sample for the pattern %s of %s", s.Pattern, shape)
			}
			return padded(p.sample, s)
		case s.Min != nil && *s.Min > 0:
			return strings.Repeat("x", int(*s.Min))
		}
		return "text"
	case "blob":
		return []byte("blob")
	case "integer":
		if s.Min != nil {
			return float64(*s.Min)
		}
		return 1.0
	case "boolean":
		return true
	case "timestamp":
		return 1477431461.25
	case "structure":
		m := map[string]any{}
		for _, member := range s.Members {
			m[member.Name] = e.sample(t, member.Shape)
		}
		return m
	case "list":
		return []any{e.sample(t, s.Member), e.sample(t, s.Member)}
	case "map":
		v := e.sample(t, s.Value)
		return map[string]any{"a": v, "b": v}
	}
	t.Fatalf("no sample for the type %s", s.Type)
	return nil
}

// padded repeats a sample's last character until the shape allows its length.
func padded(sample string, s *model.Shape) string {
	if s.Min == nil {
		return sample
	}
	last, _ := utf8.DecodeLastRuneInString(sample)
	return sample + strings.Repeat(string(last), max(0, int(*s.Min)-utf8.RuneCountInString(sample)))
}

// input returns a sample of the operation's input, with all members or with the
// required ones only.
func (e *edge) input(t testing.TB, op string, all bool) map[string]any {
	shape := e.Operations[op].Input
	if shape == "" {
		return map[string]any{}
	}
	in := e.sample(t, shape).(map[string]any)
	for _, m := range e.Shapes[shape].Members {
		if !all && !m.Required {
			delete(in, m.Name)
		}
	}
	return in
}

// body writes a request in the service's protocol.
func (e *edge) body(in map[string]any) []byte {
	if e.table.Protocol == wire.AWSJSON11 {
		body, _ := json.Marshal(in)
		return body
	}
	form := url.Values{"Action": {"X"}, "Version": {e.table.Version}}
	flatten(form, "", in)
	return []byte(form.Encode())
}

// leastTimestamp is the earliest timestamp, in seconds, that tests write.
const leastTimestamp = 1e7

func flatten(form url.Values, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(form, strings.TrimPrefix(name+"."+k, "."), x)
		}
	case []any:
		if len(v) == 0 {
			form.Set(name, "")
		}
		for i, x := range v {
			flatten(form, fmt.Sprintf("%s.member.%d", name, i+1), x)
		}
	case []byte:
		form.Set(name, base64.StdEncoding.EncodeToString(v))
	case nil:
	case float64:
		// No number of a query request is that large: it is a timestamp.
		if v >= leastTimestamp {
			form.Set(name, time.UnixMilli(int64(v*1000+0.5)).UTC().Format(time.RFC3339Nano))
			break
		}
		form.Set(name, fmt.Sprint(v))
	default:
		form.Set(name, fmt.Sprint(v))
	}
}
