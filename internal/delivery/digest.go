package delivery

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// digestPeriod is the time that a digest covers.
const digestPeriod = time.Hour

// signatureAlgorithm is how the digests' metadata call RSASSA-PKCS1-v1_5 with
// SHA-256.
const signatureAlgorithm = "SHA256withRSA"

// digestFile is a digest in CloudTrail's spelling. Members that are null in the
// first digest of a chain are pointers.
type digestFile struct {
	Account            string    `json:"awsAccountId"`
	Start              string    `json:"digestStartTime"`
	End                string    `json:"digestEndTime"`
	Bucket             string    `json:"digestS3Bucket"`
	Object             string    `json:"digestS3Object"`
	Fingerprint        string    `json:"digestPublicKeyFingerprint"`
	Algorithm          string    `json:"digestSignatureAlgorithm"`
	Newest             *string   `json:"newestEventTime"`
	Oldest             *string   `json:"oldestEventTime"`
	PreviousBucket     *string   `json:"previousDigestS3Bucket"`
	PreviousObject     *string   `json:"previousDigestS3Object"`
	PreviousHash       *string   `json:"previousDigestHashValue"`
	PreviousHashMethod *string   `json:"previousDigestHashAlgorithm"`
	PreviousSignature  *string   `json:"previousDigestSignature"`
	LogFiles           []logFile `json:"logFiles"`
}

// beginChains makes the chains that a trail lacks, and removes those that it does
// not want. A chain begins when its trail does, and ends with the digest that is
// written when nothing is left to deliver.
func (s *Service) beginChains(ctx context.Context, t *Trail, p *position) error {
	wanted := t.Validation && (p.Batch != nil || t.span(p.Reached) != nil)
	now := s.Clock.Now().Truncate(time.Second)
	covered := t.regions(s.Regions)
	return s.update(ctx, t, func(tx *store.Tx) error {
		for _, region := range s.Regions {
			_, err := chains.Get(tx, t.Scope(), chainID(t, region))
			switch exists := err == nil; {
			case err != nil && !errors.Is(err, store.ErrNotFound):
				return err
			case exists && (!t.Validation || !slices.Contains(covered, region)):
				err = chains.Delete(tx, t.Scope(), chainID(t, region))
			case !exists && wanted && slices.Contains(covered, region):
				err = chains.Put(tx, t.Scope(), chainID(t, region), chain{Start: now})
			default:
				err = nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// digests writes the digests that are due, and returns when the next one is.
func (s *Service) digests(ctx context.Context, t *Trail, p *position) (due time.Time, err error) {
	for _, region := range t.regions(s.Regions) {
		var c chain
		err := s.Store.View(ctx, func(r store.Reader) error {
			c, err = chains.Get(r, t.Scope(), chainID(t, region))
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return due, err
		}
		for c.End != nil || !s.Clock.Now().Before(c.Start.Add(digestPeriod)) {
			if c.End == nil {
				// Whole periods: one, or all those in which nothing could be done.
				end := c.Start.Add(s.Clock.Now().Sub(c.Start).Truncate(digestPeriod))
				c.End = &end
				if err := s.putChain(ctx, t, region, &c, p); err != nil {
					return due, err
				}
			}
			if err := s.writeDigest(ctx, t, region, &c, p); err != nil {
				return due, err
			}
			if t.span(p.Reached) == nil {
				err := s.update(ctx, t, func(tx *store.Tx) error { return chains.Delete(tx, t.Scope(), chainID(t, region)) })
				return due, err
			}
		}
		if next := c.Start.Add(digestPeriod); due.IsZero() || next.Before(due) {
			due = next
		}
	}
	return due, nil
}

func (s *Service) putChain(ctx context.Context, t *Trail, region string, c *chain, p *position) error {
	return s.update(ctx, t, func(tx *store.Tx) error {
		if err := positions.Put(tx, t.Scope(), t.ID, *p); err != nil {
			return err
		}
		return chains.Put(tx, t.Scope(), chainID(t, region), *c)
	})
}

// writeDigest writes the digest that was announced, and moves the chain on.
func (s *Service) writeDigest(ctx context.Context, t *Trail, region string, c *chain, p *position) error {
	to, err := s.open(ctx, t.Bucket)
	if err != nil {
		return err
	}
	key, err := s.digestKey(ctx, region)
	if err != nil {
		return err
	}
	d := newDigest(t, region, c, key.Fingerprint)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		return err
	}
	content := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	hash := hashOf(content)
	signature, err := key.sign(d.statement(hash))
	if err != nil {
		return err
	}
	zipped, err := compress(content)
	if err != nil {
		return err
	}
	err = s.put(ctx, t, to, d.Object, zipped, map[string]string{"signature": signature, "signature-algorithm": signatureAlgorithm})
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	p.Digested = &now
	*c = chain{Start: *c.End, Previous: &previousDigest{Bucket: d.Bucket, Object: d.Object, Hash: hash, Signature: signature}}
	return s.putChain(ctx, t, region, c, p)
}

func newDigest(t *Trail, region string, c *chain, fingerprint string) *digestFile {
	d := &digestFile{
		Account: t.Account, Start: inDigest(c.Start), End: inDigest(*c.End),
		Bucket:      t.Bucket,
		Object:      t.path("CloudTrail-Digest", region, *c.End) + t.Name + "_" + t.Region + "_" + c.End.Format("20060102T150405Z") + ".json.gz",
		Fingerprint: fingerprint, Algorithm: signatureAlgorithm,
		LogFiles: c.Files,
	}
	if d.LogFiles == nil {
		d.LogFiles = []logFile{}
	}
	for i := range c.Files {
		// Times in this form sort as they are.
		if f := &c.Files[i]; d.Newest == nil || f.Newest > *d.Newest {
			d.Newest = &f.Newest
		}
		if f := &c.Files[i]; d.Oldest == nil || f.Oldest < *d.Oldest {
			d.Oldest = &f.Oldest
		}
	}
	if before := c.Previous; before != nil {
		method := "SHA-256"
		d.PreviousBucket, d.PreviousObject = &before.Bucket, &before.Object
		d.PreviousHash, d.PreviousHashMethod, d.PreviousSignature = &before.Hash, &method, &before.Signature
	}
	return d
}

// statement is what a digest's signature is over. hash is that of its content.
func (d *digestFile) statement(hash string) []byte {
	previous := "null"
	if d.PreviousSignature != nil {
		previous = *d.PreviousSignature
	}
	return []byte(d.End + "\n" + d.Bucket + "/" + d.Object + "\n" + hash + "\n" + previous)
}

// sign returns the signature in hexadecimal digits.
func (k *digestKey) sign(statement []byte) (string, error) {
	sum := sha256.Sum256(statement)
	signature, err := rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, sum[:])
	return hex.EncodeToString(signature), err
}
