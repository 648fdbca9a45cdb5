package crash

import (
	"fmt"
	"slices"
	"time"
)

// Report is what a run did.
type Report struct {
	// Folders are data folders, Kills those under load, KilledStarting the further
	// ones while a server was starting.
	Folders, Kills, KilledStarting int
	// Keys to Records are what was acknowledged: Imports counts imports of key
	// material, Rotations those of the domain key, Calls all calls that were answered, Records the audit records at
	// the folders' ends. Adopted are keys that were there although their creation
	// was not answered.
	Keys, Adopted, Ciphertexts, Grants, Imports, Rotations, Calls, Records int
	// Restarts has an entry for each start after a kill that came to its end.
	Restarts []Restart
	// Violations are acknowledged things that were not there after a restart, and
	// things that were there and should not have been.
	Violations []string
}

// Restart is how long a server took to be of use again, from the start of its
// process.
type Restart struct {
	// Ready is until its ready line was read, Answer until its first answer was.
	Ready, Answer time.Duration
	// CPU is the processor time that the process had taken by then (0 where that is
	// not known). Unlike the others it says little of how busy the machine was.
	CPU time.Duration
}

// add adds the figures of other.
func (r *Report) add(other *Report) {
	r.Folders += other.Folders
	r.Kills += other.Kills
	r.KilledStarting += other.KilledStarting
	r.Keys += other.Keys
	r.Adopted += other.Adopted
	r.Ciphertexts += other.Ciphertexts
	r.Grants += other.Grants
	r.Imports += other.Imports
	r.Rotations += other.Rotations
	r.Calls += other.Calls
	r.Records += other.Records
	r.Restarts = append(r.Restarts, other.Restarts...)
	r.Violations = append(r.Violations, other.Violations...)
}

// String is the report on one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d kills (and %d while starting) in %d data folders, %d keys (%d of unanswered calls), %d ciphertexts, %d grants, %d imports, %d domain keys, %d calls acknowledged, %d records, %d violations; %s",
		r.Kills, r.KilledStarting, r.Folders, r.Keys, r.Adopted, r.Ciphertexts, r.Grants, r.Imports, r.Rotations, r.Calls, r.Records, len(r.Violations), r.restarts())
}

// restarts says how long restarts took.
func (r *Report) restarts() string {
	if len(r.Restarts) == 0 {
		return "no restart"
	}
	of := func(what string, figure func(Restart) time.Duration) string {
		all := make([]time.Duration, len(r.Restarts))
		for i, restart := range r.Restarts {
			all[i] = figure(restart).Round(time.Millisecond)
		}
		slices.Sort(all)
		return fmt.Sprintf("%s p50 %s, p99 %s, at most %s", what, quantile(all, 0.5), quantile(all, 0.99), all[len(all)-1])
	}
	return fmt.Sprintf("%d restarts: %s; %s; %s", len(r.Restarts),
		of("ready after", func(s Restart) time.Duration { return s.Ready }),
		of("first answer after", func(s Restart) time.Duration { return s.Answer }),
		of("processor time until then", func(s Restart) time.Duration { return s.CPU }))
}

// quantile is the smallest of sorted, which must not be empty, that at least the
// share q of them does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	for i, d := range sorted {
		if float64(i+1) >= q*float64(len(sorted)) {
			return d
		}
	}
	return sorted[len(sorted)-1]
}
