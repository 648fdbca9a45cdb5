package delivery

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
)

// The files of a trail that names a KMS key are encrypted before they leave: each
// under a data key of its own, in the form of the Amazon S3 Encryption Client,
// version 2 ("kms+context" with AES/GCM/NoPadding): the object is ciphertext and
// tag, and its metadata are
//
//	x-amz-key-v2          the data key, encrypted by KMS, base64
//	x-amz-wrap-alg        kms+context
//	x-amz-matdesc         the encryption context of the data key, JSON
//	x-amz-cek-alg         AES/GCM/NoPadding
//	x-amz-iv              12 bytes, base64
//	x-amz-tag-len         128
//	x-amz-unencrypted-content-length
//
// So whoever has that client, or "strongroom trail decrypt", and may use the key with
// the trail's encryption context reads them. Hashes and signatures of digests are
// over what is inside, as for all trails.
const (
	metaKey     = "x-amz-key-v2"
	metaWrap    = "x-amz-wrap-alg"
	metaContext = "x-amz-matdesc"
	metaCipher  = "x-amz-cek-alg"
	metaNonce   = "x-amz-iv"
	metaTag     = "x-amz-tag-len"
	metaLength  = "x-amz-unencrypted-content-length"

	wrapAlgorithm   = "kms+context"
	cipherAlgorithm = "AES/GCM/NoPadding"
	contextCipher   = "aws:x-amz-cek-alg"
	contextTrail    = "aws:cloudtrail:arn"
)

// Context returns the encryption context of a trail's data keys: CloudTrail's own,
// and what the form of the files asks for.
func Context(trailARN string) map[string]string {
	return map[string]string{contextTrail: trailARN, contextCipher: cipherAlgorithm}
}

// Encrypted reports whether metadata are those of an encrypted file.
func Encrypted(metadata map[string]string) bool { return metadata[metaKey] != "" }

// put writes a file of a trail, encrypted if the trail is.
func (s *Service) put(ctx context.Context, t *Trail, to bucket, key string, body []byte, metadata map[string]string) error {
	if t.Key == "" {
		return to.put(ctx, key, body, metadata)
	}
	if s.Keys == nil {
		return errors.New("delivery: the trail is encrypted, and nobody makes data keys")
	}
	plain, encrypted, with, err := s.Keys.DataKey(ctx, t)
	if err != nil {
		return &failure{"KMS." + awserr.Code(err), fmt.Errorf("the key %s cannot be used: %w", t.Key, err)}
	}
	defer plain.Wipe()
	sealed, more, err := encrypt(s.Rand, plain, encrypted, with, body)
	if err != nil {
		return err
	}
	maps.Copy(more, metadata)
	return to.put(ctx, key, sealed, more)
}

func encrypt(rand io.Reader, key secret.Bytes, wrapped []byte, with map[string]string, body []byte) (sealed []byte, metadata map[string]string, err error) {
	aead, err := dataCipher(key)
	if err != nil {
		return nil, nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, nil, err
	}
	description, err := json.Marshal(with)
	if err != nil {
		return nil, nil, err
	}
	encode := base64.StdEncoding.EncodeToString
	return aead.Seal(nil, nonce, body, nil), map[string]string{
		metaKey: encode(wrapped), metaWrap: wrapAlgorithm, metaContext: string(description), metaCipher: cipherAlgorithm,
		metaNonce: encode(nonce), metaTag: strconv.Itoa(8 * aead.Overhead()), metaLength: strconv.Itoa(len(body)),
	}, nil
}

func dataCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("delivery: a data key of %d bytes", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// ErrEnvelope is wrapped by what is wrong with an encrypted file.
var ErrEnvelope = errors.New("the file is not one that a trail has encrypted")

// Decrypt opens an encrypted file. unwrap has KMS decrypt the data key.
func Decrypt(body []byte, metadata map[string]string, unwrap func(wrapped []byte, with map[string]string) (secret.Bytes, error)) ([]byte, error) {
	decode := base64.StdEncoding.Strict().DecodeString
	wrapped, err := decode(metadata[metaKey])
	nonce, err2 := decode(metadata[metaNonce])
	var with map[string]string
	if err := errors.Join(err, err2, json.Unmarshal([]byte(metadata[metaContext]), &with)); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrEnvelope, err)
	}
	if metadata[metaWrap] != wrapAlgorithm || metadata[metaCipher] != cipherAlgorithm || with[contextCipher] != cipherAlgorithm || metadata[metaTag] != "128" {
		return nil, fmt.Errorf("%w: its metadata name other algorithms than %s with %s", ErrEnvelope, wrapAlgorithm, cipherAlgorithm)
	}
	key, err := unwrap(wrapped, with)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	aead, err := dataCipher(key)
	if err == nil && len(nonce) != aead.NonceSize() {
		err = fmt.Errorf("a nonce of %d bytes", len(nonce))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrEnvelope, err)
	}
	plain, err := aead.Open(nil, nonce, body, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or its metadata were", ErrEnvelope)
	}
	return plain, nil
}

// withoutEnvelope are the metadata that a file has in the clear.
func withoutEnvelope(metadata map[string]string) map[string]string {
	rest := maps.Clone(metadata)
	for _, name := range []string{metaKey, metaWrap, metaContext, metaCipher, metaNonce, metaTag, metaLength} {
		delete(rest, name)
	}
	return rest
}
