package index

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/journal"
)

// A segment is a file:
//
//	8  magic, its last byte the version: "SRindex" 0x02
//	4  length of the sealed head, big-endian
//	   the head, sealed: JSON
//	   pages, each pageSize bytes before it was sealed, all of the same length:
//	     rows      8 bytes a record: its frame after First, its time after Start
//	     terms     12 bytes a term, ascending: fingerprint, then where its list
//	               is, or, with the top bit set, the only record that has it
//	     lists     one after the other; equal ones stand there once
//
// The head is bound to the file's name, each page to its segment's random id and
// to its place.
const (
	segmentMagic  = "SRindex\x02"
	segmentSuffix = ".index"
	unfinished    = ".new"

	pageSize     = 8 << 10
	rowSize      = 8
	rowsInPage   = pageSize / rowSize
	termSize     = 12
	termsInPage  = pageSize / termSize
	singleRecord = 1 << 31
	maxHead      = 64 << 20
)

// head describes a segment; it is in memory as long as the index is open.
type head struct {
	ID []byte
	// First and Last are the frames that it covers; Hash is that of Last.
	First, Last uint64
	Hash        journal.Hash
	// Number is that of the first record, Count how many there are.
	Number uint64
	Count  uint32
	// Start and End are the least and the greatest eventTime, in seconds.
	Start, End int64
	Scopes     []Scope
	// Terms counts the terms; Lowest are the fingerprints that each page of them
	// begins with.
	Terms  uint32
	Lowest []fingerprint
	// Page is the length of a sealed page.
	Page int
}

// segment is an open segment. It holds no file open.
type segment struct {
	head
	c      *Config
	path   string
	offset int64 // of the first page
	size   int64
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

func (c *Config) headBinding(name string) []byte { return []byte("head\x00" + name) }

// binding binds a page to its segment and its place.
func (h *head) binding(page int) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("page\x00"), h.ID...), uint64(page))
}

func pages(n, each int) int { return (n + each - 1) / each }

// writeSegment makes a segment of t, which must have records. It is on stable
// storage, and under its name, when writeSegment returns.
func writeSegment(c Config, t *tail) (*segment, error) {
	s := &segment{c: &c, head: head{
		ID: make([]byte, 16), First: t.first, Last: t.last, Hash: t.hash, Number: t.number, Count: uint32(len(t.rows)),
		Start: t.start, End: t.end, Scopes: t.scopes,
	}}
	if _, err := io.ReadFull(c.Rand, s.ID); err != nil {
		return nil, err
	}
	terms, lists, err := s.encodeTerms(t)
	if err != nil {
		return nil, err
	}
	rows, err := s.encodeRows(t.rows)
	if err != nil {
		return nil, err
	}
	var body []byte
	for i, page := range slices.Concat(rows, terms, paged(lists, pageSize)) {
		sealed, err := c.Box.Seal(c.Rand, page, s.binding(i))
		if err != nil {
			return nil, err
		}
		s.Page = len(sealed)
		body = append(body, sealed...)
	}
	text, err := json.Marshal(s.head)
	if err != nil {
		return nil, err
	}
	name := segmentName(s.First)
	sealed, err := c.Box.Seal(c.Rand, text, c.headBinding(name))
	if err != nil {
		return nil, err
	}
	s.path = filepath.Join(c.Dir, name)
	file := binary.BigEndian.AppendUint32([]byte(segmentMagic), uint32(len(sealed)))
	file = append(file, sealed...)
	s.offset = int64(len(file))
	file = append(file, body...)
	s.size = int64(len(file))
	return s, writeFile(s.path, file)
}

// encodeRows returns the pages of rows.
func (s *segment) encodeRows(rows []row) ([][]byte, error) {
	var out []byte
	for _, r := range rows {
		if r.seq-s.First > math.MaxUint32 || r.time-s.Start > math.MaxUint32 {
			return nil, errors.New("a segment that spans too many frames or years")
		}
		out = binary.BigEndian.AppendUint32(out, uint32(r.seq-s.First))
		out = binary.BigEndian.AppendUint32(out, uint32(r.time-s.Start))
	}
	return paged(out, rowsInPage*rowSize), nil
}

// term is a fingerprint and the records that have it.
type term struct {
	fingerprint
	list *list
}

// terms returns all terms, ascending.
func (t *tail) terms() []term {
	all := make([]term, 0, len(t.lists)+len(t.ids))
	for f, l := range t.lists {
		all = append(all, term{f, l})
	}
	ids := make([]list, len(t.ids))
	for i, id := range t.ids {
		ids[i].add(id.place)
		all = append(all, term{id.fingerprint, &ids[i]})
	}
	slices.SortFunc(all, func(a, b term) int { return cmp.Compare(a.fingerprint, b.fingerprint) })
	out := all[:0]
	for _, next := range all {
		if n := len(out); n > 0 && out[n-1].fingerprint == next.fingerprint {
			// Two records have the same event id, or two terms one fingerprint.
			both := mergeTwo(out[n-1].list.runs(nil), next.list.runs(nil))
			out[n-1].list = &list{some: true, first: both[0], more: both[1:]}
			continue
		}
		out = append(out, next)
	}
	return out
}

// encodeTerms returns the pages of terms and the lists that they point to.
func (s *segment) encodeTerms(t *tail) (terms [][]byte, lists []byte, err error) {
	written := map[string]uint32{}
	var out, scratch []byte
	all := t.terms()
	s.Terms = uint32(len(all))
	for i, term := range all {
		if i%termsInPage == 0 {
			s.Lowest = append(s.Lowest, term.fingerprint)
		}
		at := singleRecord | term.list.first.first
		if !term.list.single() {
			scratch = term.list.append(scratch[:0])
			known := false
			if at, known = written[string(scratch)]; !known {
				if len(lists)+len(scratch) >= singleRecord {
					return nil, nil, errors.New("a segment whose lists are too long")
				}
				at = uint32(len(lists))
				written[string(scratch)] = at
				lists = append(lists, scratch...)
			}
		}
		out = binary.BigEndian.AppendUint64(out, uint64(term.fingerprint))
		out = binary.BigEndian.AppendUint32(out, at)
	}
	return paged(out, termsInPage*termSize), lists, nil
}

// paged cuts b into pages, each padded to pageSize.
func paged(b []byte, each int) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		n := min(each, len(b))
		page := make([]byte, pageSize)
		copy(page, b[:n])
		out = append(out, page)
		b = b[n:]
	}
	return out
}

// writeFile writes a file under another name first, so that a file that has its
// own is whole.
func writeFile(path string, content []byte) (err error) {
	temporary := path + unfinished
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openSegments opens what lies in the folder, by ascending frames. A file that
// cannot be opened is removed: the journal has all that it held.
func openSegments(c Config) ([]*segment, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	var out []*segment
	for _, e := range entries {
		path := filepath.Join(c.Dir, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), segmentSuffix+unfinished):
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("index: %w", err)
			}
		case strings.HasSuffix(e.Name(), segmentSuffix):
			s, err := openSegment(c, path)
			if errors.Is(err, errDamaged) {
				c.Log.Warn("a file of the index of the audit trail is damaged; it is made again", "file", path, "error", err)
				err = os.Remove(path)
			} else if err == nil {
				out = append(out, s)
			}
			if err != nil {
				return nil, fmt.Errorf("index: %w", err)
			}
		}
	}
	return out, nil
}

// errDamaged says that a segment is not what was written.
var errDamaged = errors.New("not as it was written")

func openSegment(c Config, path string) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := make([]byte, len(segmentMagic)+4)
	if _, err := io.ReadFull(f, start); err != nil || string(start[:len(segmentMagic)]) != segmentMagic {
		return nil, fmt.Errorf("%w: it does not begin as a segment does", errDamaged)
	}
	n := binary.BigEndian.Uint32(start[len(segmentMagic):])
	if n > maxHead || int64(n) > info.Size() {
		return nil, fmt.Errorf("%w: a head of %d bytes", errDamaged, n)
	}
	sealed := make([]byte, n)
	if _, err := io.ReadFull(f, sealed); err != nil {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	text, err := c.Box.Open(sealed, c.headBinding(filepath.Base(path)))
	if err != nil {
		return nil, fmt.Errorf("%w: its head does not open", errDamaged)
	}
	s := &segment{c: &c, path: path, offset: int64(len(start)) + int64(n), size: info.Size()}
	if err := json.Unmarshal(text, &s.head); err != nil {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	least := pages(int(s.Count), rowsInPage) + pages(int(s.Terms), termsInPage)
	if body := s.size - s.offset; s.Page < pageSize || body%int64(s.Page) != 0 || body/int64(s.Page) < int64(least) ||
		filepath.Base(path) != segmentName(s.First) || len(s.Lowest) != pages(int(s.Terms), termsInPage) {
		return nil, fmt.Errorf("%w: its length does not fit its head", errDamaged)
	}
	return s, nil
}

func (s *segment) remove() error {
	if err := os.Remove(s.path); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return syncDir(filepath.Dir(s.path))
}

// open returns what reads the segment's pages, for one query.
func (s *segment) open() (*pageReader, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return &pageReader{segment: s, file: f, at: -1}, nil
}

// pageReader reads pages and keeps the last one. It is used by one goroutine.
type pageReader struct {
	*segment
	file *os.File
	at   int
	page []byte
	buf  []byte
}

func (r *pageReader) close() error { return r.file.Close() }

func (r *pageReader) read(page int) ([]byte, error) {
	if page == r.at {
		return r.page, nil
	}
	if r.buf == nil {
		r.buf = make([]byte, r.Page)
	}
	if _, err := r.file.ReadAt(r.buf, r.offset+int64(page)*int64(r.Page)); err != nil {
		return nil, fmt.Errorf("index: %s: %w", r.path, err)
	}
	plain, err := r.c.Box.Open(r.buf, r.binding(page))
	if err != nil || len(plain) != pageSize {
		return nil, fmt.Errorf("index: page %d of %s is %w", page, r.path, errDamaged)
	}
	r.page, r.at = plain, page
	return plain, nil
}

// row returns row n.
func (r *pageReader) row(n uint32) (row, error) {
	page, err := r.read(int(n) / rowsInPage)
	if err != nil {
		return row{}, err
	}
	b := page[int(n)%rowsInPage*rowSize:]
	return row{r.First + uint64(binary.BigEndian.Uint32(b)), r.Start + int64(binary.BigEndian.Uint32(b[4:]))}, nil
}

// find implements [part].
func (r *pageReader) find(prints []fingerprint) ([]run, error) {
	var lists [][]run
	for _, f := range prints {
		runs, err := r.list(f)
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			lists = append(lists, runs)
		}
	}
	return merge(lists), nil
}

// list returns the list of a fingerprint, empty when there is none.
func (r *pageReader) list(f fingerprint) ([]run, error) {
	at, found := slices.BinarySearch(r.Lowest, f)
	if !found {
		at--
	}
	if at < 0 {
		return nil, nil
	}
	page, err := r.read(pages(int(r.Count), rowsInPage) + at)
	if err != nil {
		return nil, err
	}
	lo, hi := 0, min(termsInPage, int(r.Terms)-at*termsInPage)
	for lo < hi {
		middle := (lo + hi) / 2
		if fingerprint(binary.BigEndian.Uint64(page[middle*termSize:])) < f {
			lo = middle + 1
		} else {
			hi = middle
		}
	}
	if lo == min(termsInPage, int(r.Terms)-at*termsInPage) || fingerprint(binary.BigEndian.Uint64(page[lo*termSize:])) != f {
		return nil, nil
	}
	where := binary.BigEndian.Uint32(page[lo*termSize+8:])
	if where&singleRecord != 0 {
		n := where &^ singleRecord
		if n >= r.Count {
			return nil, errList
		}
		return []run{{n, n}}, nil
	}
	return r.runs(int(where))
}

// runs reads the list that begins at byte where of the lists.
func (r *pageReader) runs(where int) ([]run, error) {
	first := pages(int(r.Count), rowsInPage) + pages(int(r.Terms), termsInPage)
	take := func(n int) ([]byte, error) {
		var out []byte
		for at := where; len(out) < n; at += pageSize - at%pageSize {
			page, err := r.read(first + at/pageSize)
			if err != nil {
				return out, err
			}
			rest := page[at%pageSize:]
			out = append(out, rest[:min(n-len(out), len(rest))]...)
		}
		return out, nil
	}
	// The last list may begin within the last page's last bytes.
	start, err := take(binary.MaxVarintLen32)
	size, n := binary.Uvarint(start)
	if n <= 0 {
		return nil, errors.Join(errList, err)
	}
	if size > uint64(r.size) {
		return nil, errList
	}
	where += n
	body, err := take(int(size))
	if err != nil {
		return nil, err
	}
	return parseRuns(nil, body, r.Count)
}
