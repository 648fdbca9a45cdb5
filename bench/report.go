package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// report is what a run found, and the JSON file.
type report struct {
	Time       time.Time     `json:"time"`
	Commit     string        `json:"commit"`
	Go         string        `json:"go"`
	CPUs       int           `json:"cpus"`
	FileSystem string        `json:"fileSystem"`
	Duration   time.Duration `json:"measurementNanos"`
	// A and B are the names of the executables that were compared.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`

	Points      []result     `json:"points"`
	Rows        []line       `json:"rows,omitempty"`
	Differences []difference `json:"differences,omitempty"`
}

// result is what was measured of a point.
type result struct {
	Name   string    `json:"name"`
	Median sample    `json:"median"`
	Rounds []*sample `json:"rounds"`
}

// line is a row of the table.
type line struct {
	Name      string `json:"name"`
	Figure    string `json:"figure"`
	Reference string `json:"reference,omitempty"`
	Ratio     spread `json:"ratio"`
	// Aim is the least that the median should be, or the most where AtMost says so.
	Aim    float64 `json:"aim,omitempty"`
	AtMost bool    `json:"atMost,omitempty"`
	Met    bool    `json:"met"`

	format string
}

// difference is that between two executables, of measurements in one round.
type difference struct {
	Name string `json:"name"`
	// Throughput is A's to B's, less 1; CPU what a request costs A's server more than
	// B's, in microseconds, and CPUShare the same as a share of B's.
	Throughput spread `json:"throughput"`
	CPU        spread `json:"serverCPUMicros"`
	CPUShare   spread `json:"serverCPUShare"`
	P50        spread `json:"p50"`
	P99        spread `json:"p99"`
	// Faster and Cheaper are in how many rounds A answered more, and cost less.
	Faster  int `json:"roundsFaster"`
	Cheaper int `json:"roundsCheaper"`
	Rounds  int `json:"rounds"`
}

// sumUp fills in what the tables' points have measured.
func (r *report) sumUp(tables [][]row) {
	for _, p := range order(tables)(0) {
		r.Points = append(r.Points, result{Name: p.name, Median: medians(p.samples), Rounds: p.samples})
	}
	if len(tables) == 1 {
		for _, one := range tables[0] {
			r.Rows = append(r.Rows, one.line())
		}
		return
	}
	for i, a := range tables[0] {
		if b := tables[1][i]; a.subject != b.subject { // an empty server is no executable's
			r.Differences = append(r.Differences, between(a.subject, b.subject))
		}
	}
}

// ratios are a row's in each round.
func (r row) ratios() []float64 {
	values := make([]float64, len(r.subject.samples))
	for i, s := range r.subject.samples {
		values[i] = r.figure.of(s)
		if r.reference != nil {
			values[i] /= r.figure.of(r.reference.samples[i])
		}
	}
	return values
}

// line sums a row up.
func (r row) line() line {
	l := line{Name: r.subject.name, Figure: r.figure.name, Ratio: spreadOf(r.ratios()), Aim: r.aim, AtMost: r.figure.less, format: r.figure.format}
	if r.reference != nil {
		l.Reference = r.reference.name
	}
	l.Met = r.aim == 0 || l.AtMost && l.Ratio.Median <= r.aim || !l.AtMost && l.Ratio.Median >= r.aim
	return l
}

// between compares the rounds of two points.
func between(a, b *point) difference {
	d := difference{Name: a.name[len("A: "):], Rounds: len(a.samples)}
	paired := func(of func(a, b *sample) float64) spread {
		values := make([]float64, len(a.samples))
		for i := range values {
			values[i] = of(a.samples[i], b.samples[i])
		}
		return spreadOf(values)
	}
	share := func(of func(*sample) float64) spread {
		return paired(func(a, b *sample) float64 {
			if of(b) == 0 {
				return 0
			}
			return of(a)/of(b) - 1
		})
	}
	cost := func(s *sample) float64 { return s.CPU }
	d.Throughput, d.P50, d.P99, d.CPUShare = share(throughput.of), share(p50.of), share(p99.of), share(cost)
	d.CPU = paired(func(a, b *sample) float64 { return a.CPU - b.CPU })
	for i := range a.samples {
		if a.samples[i].Throughput > b.samples[i].Throughput {
			d.Faster++
		}
		if a.samples[i].CPU < b.samples[i].CPU {
			d.Cheaper++
		}
	}
	return d
}

// print writes the medians, and the table or the differences.
func (r *report) print(out io.Writer) error {
	fmt.Fprintln(out, "\nmedians; CPU is what a request costs the server, and the client; others is how many processors other programs took; \"by CPU\" is what a request to the empty server costs of what one of these does")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\trequests/s\tp50 µs\tp99 µs\tCPU µs\tclient µs\tothers\tMB\tof empty\tby CPU\t")
	for _, p := range r.Points {
		m := p.Median
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.2f\t%.0f\t%s\t%s\t\n", p.Name, m.Throughput, m.P50, m.P99, m.CPU, m.Client, m.Others, m.Memory, orNothing("%.2f", m.Ratio), orNothing("%.2f", m.CPURatio))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := r.printDatabase(out); err != nil {
		return err
	}
	if len(r.Rows) > 0 {
		return r.printRows(out)
	}
	return r.printDifferences(out)
}

// printDatabase writes what requests cost the database, if there is one.
func (r *report) printDatabase(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	any := false
	for _, p := range r.Points {
		m := p.Median
		if m.Database == 0 {
			continue
		}
		if !any {
			fmt.Fprintln(out, "\nof a request: the database's processor time, its commits, and the bytes of its log without and of images of pages")
			fmt.Fprintln(w, "\tCPU µs\tcommits\tcommits/s\tlog B\tpages B\t")
		}
		any = true
		fmt.Fprintf(w, "%s\t%.0f\t%.3f\t%.0f\t%.0f\t%.0f\t\n", p.Name, m.Database, m.Commits, m.Commits*m.Throughput, m.Log, m.Pages)
	}
	return w.Flush()
}

// database is what is said of a database while it goes on.
func (s *sample) database() string {
	if s.Database == 0 {
		return ""
	}
	return fmt.Sprintf("database %.0f µs, %.2f commits, %.0f + %.0f B", s.Database, s.Commits, s.Log, s.Pages)
}

func (r *report) printRows(out io.Writer) error {
	fmt.Fprintln(out, "\nratios of each round: median, and from the least to the most")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range r.Rows {
		aim := ""
		if l.Aim > 0 {
			aim = map[bool]string{true: "aim ≤ ", false: "aim ≥ "}[l.AtMost] + orNothing("%g", l.Aim) + map[bool]string{true: ", met", false: ", NOT MET"}[l.Met]
		}
		of := l.Figure
		if l.Reference != "" {
			of += " of " + l.Reference
		}
		fmt.Fprintf(w, "%s\t%s\t"+l.format+"\t"+l.format+"–"+l.format+"\t%s\n", l.Name, of, l.Ratio.Median, l.Ratio.Least, l.Ratio.Most, aim)
	}
	return w.Flush()
}

func (r *report) printDifferences(out io.Writer) error {
	fmt.Fprintf(out, "\nA (%s) against B (%s), within rounds: median, and from the least to the most\n", r.A, r.B)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	percent := func(s spread) string {
		return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*s.Median, 100*s.Least, 100*s.Most)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(w, "%s\tthroughput\t%s\tA ahead in %d of %d rounds\n", d.Name, percent(d.Throughput), d.Faster, d.Rounds)
		fmt.Fprintf(w, "\tserver CPU\t%s\t%+.2f µs (%+.2f to %+.2f); A cheaper in %d of %d rounds\n", percent(d.CPUShare), d.CPU.Median, d.CPU.Least, d.CPU.Most, d.Cheaper, d.Rounds)
		fmt.Fprintf(w, "\tp50\t%s\t\n\tp99\t%s\t\n", percent(d.P50), percent(d.P99))
	}
	return w.Flush()
}

// orNothing formats a figure that may not be known.
func orNothing(format string, value float64) string {
	if value == 0 {
		return ""
	}
	return fmt.Sprintf(format, value)
}

// list prints the rows and what they aim at.
func list(out io.Writer, all []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range all {
		l := r.line()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Name, l.Figure, l.Reference, orNothing(map[bool]string{true: "≤ %g", false: "≥ %g"}[l.AtMost], l.Aim))
	}
	return w.Flush()
}

// write writes the JSON file.
func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
