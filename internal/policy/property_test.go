package policy

import (
	"slices"
	"testing"
)

// propertySets is how many random sets of policies the properties below are
// tried on.
const propertySets = 200

// edit returns a copy of p in which change has been applied to the statements of
// one document, counted in the order control, identity, boundary, session,
// resource; false if there is no such document.
func edit(p *Policies, n int, change func(Kind, []statement) []statement) (*Policies, bool) {
	q := &Policies{
		ServiceControl: slices.Clone(p.ServiceControl),
		Identity:       slices.Clone(p.Identity),
		Session:        slices.Clone(p.Session),
		Grants:         slices.Clone(p.Grants),
	}
	var all []*Source
	add := func(list []Source) {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	add(q.ServiceControl)
	add(q.Identity)
	add(q.Session)
	for _, s := range []struct {
		from *Source
		to   **Source
	}{{p.Boundary, &q.Boundary}, {p.Resource, &q.Resource}} {
		if s.from != nil {
			c := *s.from
			*s.to = &c
			all = append(all, &c)
		}
	}
	if n >= len(all) {
		return q, false
	}
	d := *all[n].Document
	d.statements = change(d.kind, slices.Clone(d.statements))
	d.index = newIndex(d.statements)
	all[n].Document = &d
	return q, true
}

// eachEdit tries a change on every document of random policies and reports
// requests for which it grants what was not granted before.
func eachEdit(t *testing.T, change func(g generator, kind Kind, s []statement) []statement) {
	t.Helper()
	changed := 0
	for seed := range uint64(propertySets) {
		g := newGenerator(1_000_000 + seed)
		naive := g.policies()
		p := naive.compile(t)
		requests := make([]*Request, requestsPerSet)
		for i := range requests {
			requests[i] = g.request()
		}
		for n := 0; ; n++ {
			q, ok := edit(p, n, func(kind Kind, s []statement) []statement { return change(g, kind, s) })
			if !ok {
				break
			}
			for _, r := range requests {
				before, after := Evaluate(r, p), Evaluate(r, q)
				if !before.Allowed && after.Allowed {
					t.Fatalf("seed %d, document %d: %+v is granted now: %v\n%v", seed, n, r, describe(after), naive)
				}
				if before.Allowed != after.Allowed {
					changed++
				}
			}
		}
	}
	if changed == 0 {
		t.Error("the change never mattered: this test cannot fail")
	}
}

func TestAddingDenyNeverGrants(t *testing.T) {
	eachEdit(t, func(g generator, kind Kind, s []statement) []statement {
		extra := mustParse(t, kind, g.document(kind).text).statements[0]
		extra.deny = true
		return slices.Insert(s, g.IntN(len(s)+1), extra)
	})
}

func TestRemovingAllowNeverGrants(t *testing.T) {
	eachEdit(t, func(g generator, _ Kind, s []statement) []statement {
		i := g.IntN(len(s))
		if s[i].deny {
			return s
		}
		return slices.Delete(s, i, i+1)
	})
}

func TestOrderNeverMatters(t *testing.T) {
	for seed := range uint64(propertySets) {
		g := newGenerator(2_000_000 + seed)
		p := g.policies().compile(t)
		q := p
		for n := 0; ; n++ {
			next, ok := edit(q, n, func(_ Kind, s []statement) []statement {
				g.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
				for i := range s {
					c := slices.Clone(s[i].conditions)
					g.Shuffle(len(c), func(i, j int) { c[i], c[j] = c[j], c[i] })
					s[i].conditions = c
				}
				return s
			})
			if !ok {
				break
			}
			q = next
		}
		for _, list := range [][]Source{q.ServiceControl, q.Identity, q.Session} {
			g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		g.Shuffle(len(q.Grants), func(i, j int) { q.Grants[i], q.Grants[j] = q.Grants[j], q.Grants[i] })
		for range requestsPerSet {
			r := g.request()
			a, b := Evaluate(r, p), Evaluate(r, q)
			if a.Allowed != b.Allowed || a.Reason != b.Reason || a.Kind != b.Kind {
				t.Fatalf("seed %d: %+v: %v, shuffled %v", seed, r, describe(a), describe(b))
			}
		}
	}
}
