package delivery

import (
	"testing"
	"time"
)

func TestPlace(t *testing.T) {
	from, to := epoch, epoch.Add(time.Hour)
	span := []Span{{From: from.Add(300 * time.Millisecond), To: &to}}
	multi := Trail{Account: account, Region: home, Global: true, MultiRegion: true, Spans: span}
	single := Trail{Account: account, Region: home, Spans: span}
	global := single
	global.Global = true
	writes := multi
	writes.Selectors = []Selector{{ReadWrite: "WriteOnly", Management: true}}
	noKMS := multi
	noKMS.Selectors = []Selector{{ReadWrite: "All", Management: true, Exclude: []string{"kms.amazonaws.com"}}}
	data := multi
	data.Selectors = []Selector{{ReadWrite: "All"}}
	advanced := multi
	advanced.Advanced = []AdvancedSelector{
		{Fields: []Field{{Field: "eventCategory", Equals: []string{"Management"}}, {Field: "readOnly", Equals: []string{"false"}}}},
		{Fields: []Field{{Field: "eventCategory", Equals: []string{"Management"}}, {Field: "eventSource", StartsWith: []string{"iam."}}}},
		{Fields: []Field{{Field: "eventCategory", Equals: []string{"Management"}}, {Field: "eventName", Equals: []string{"Encrypt"}}}},
	}
	without := multi
	without.Advanced = []AdvancedSelector{{Fields: []Field{
		{Field: "eventCategory", Equals: []string{"Management"}},
		{Field: "eventSource", NotEquals: []string{"kms.amazonaws.com"}, NotStartsWith: []string{"sts"}, NotEndsWith: []string{".local"}},
	}}}
	kms, iam := "kms.amazonaws.com", "iam.amazonaws.com"
	for _, test := range []struct {
		name  string
		trail Trail
		event event
		want  string
	}{
		{"home", multi, event{Region: home, Source: kms}, home},
		{"another region", multi, event{Region: second, Source: kms}, second},
		{"a region that is not served", multi, event{Region: "us-west-2", Source: kms}, home},
		{"another account", multi, event{Region: home, Source: kms, Account: "444455556666"}, ""},
		{"one region, home", single, event{Region: home, Source: kms}, home},
		{"one region, another", single, event{Region: second, Source: kms}, ""},
		{"one region, not global", single, event{Region: home, Source: iam}, ""},
		{"one region, global", global, event{Region: second, Source: iam}, home},
		{"in the second of the start", multi, event{Region: home, Source: kms, Time: from}, home},
		{"before the start", multi, event{Region: home, Source: kms, Time: from.Add(-time.Second)}, ""},
		{"in the second of the stop", multi, event{Region: home, Source: kms, Time: to}, home},
		{"after the stop", multi, event{Region: home, Source: kms, Time: to.Add(time.Second)}, ""},
		{"write only, write", writes, event{Region: home, Source: kms}, home},
		{"write only, read", writes, event{Region: home, Source: kms, ReadOnly: true}, ""},
		{"excluded", noKMS, event{Region: home, Source: kms}, ""},
		{"not excluded", noKMS, event{Region: home, Source: iam}, home},
		{"no management events", data, event{Region: home, Source: kms}, ""},
		{"advanced, write", advanced, event{Region: home, Source: kms}, home},
		{"advanced, read", advanced, event{Region: home, Source: kms, ReadOnly: true}, ""},
		{"advanced, read of iam", advanced, event{Region: home, Source: iam, ReadOnly: true}, home},
		{"without kms", without, event{Region: home, Source: kms}, ""},
		{"without sts", without, event{Region: home, Source: "sts.amazonaws.com"}, ""},
		{"without the command line", without, event{Region: home, Source: "strongroom.local"}, ""},
		{"without, iam", without, event{Region: home, Source: iam}, home},
	} {
		e := test.event
		e.Category = "Management"
		if e.Account == "" {
			e.Account = account
		}
		if e.Time.IsZero() {
			e.Time = from.Add(time.Minute)
		}
		if got := test.trail.place(&e, []string{home, second}); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
