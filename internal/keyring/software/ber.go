package software

import (
	"encoding/asn1"
	"errors"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// KMS takes imported private keys in BER (ITU-T X.690 §8), of which DER is a part
// and which leaves the writer a choice: lengths may be longer than they need be or
// left open, and strings may come in pieces. The standard library reads DER, so that
// a key is written anew as that first.

const (
	berDepth       = 16
	berConstructed = 0x20
	berHighTag     = 0x1f // the tag's number follows in further bytes
	berOctetString = 0x04
	berBitString   = 0x03
	berOpenLength  = 0x80
)

var errBER = errors.New("software: not the BER of a private key")

// derKey returns the DER of a PKCS #8 private key in BER, without attributes. What
// the key's algorithm says of the key is BER within an octet string.
func derKey(ber secret.Bytes) (secret.Bytes, error) {
	outer, err := toDER(ber)
	if err != nil {
		return nil, err
	}
	defer outer.Wipe()
	var info privateKeyInfo
	if rest, err := asn1.Unmarshal(outer, &info); err != nil || len(rest) != 0 {
		return nil, keyring.ErrInvalidCiphertext
	}
	defer clear(info.PrivateKey)
	inner, err := toDER(info.PrivateKey)
	if err != nil {
		return nil, err
	}
	defer inner.Wipe()
	info.PrivateKey = inner
	return asn1.Marshal(info)
}

// toDER writes one BER element as DER. It knows what private keys are made of: no
// tags above 30, no bit strings in pieces, no sets whose order matters. For inputs
// below 64 KiB the DER is no longer than the BER, so that no buffer with key bytes
// in it is outgrown and left behind.
func toDER(ber []byte) (secret.Bytes, error) {
	der, rest, err := appendDER(make(secret.Bytes, 0, len(ber)), ber, 0)
	if err != nil || len(rest) != 0 {
		der.Wipe()
		return nil, errBER
	}
	return der, nil
}

// appendDER appends the first element of ber to dst and returns what comes after it.
func appendDER(dst secret.Bytes, ber []byte, depth int) (der secret.Bytes, rest []byte, err error) {
	tag, content, open, rest, err := berElement(ber)
	if err != nil || depth > berDepth {
		return dst, nil, errBER
	}
	switch tag {
	case berOctetString | berConstructed:
		joined := make(secret.Bytes, 0, len(content))
		defer func() { joined.Wipe() }()
		if joined, rest, err = appendPieces(joined, ber, depth); err != nil {
			return dst, nil, err
		}
		return appendTLV(dst, berOctetString, joined), rest, nil
	case berBitString | berConstructed:
		return dst, nil, errBER
	}
	if tag&berConstructed == 0 {
		return appendTLV(dst, tag, content), rest, nil
	}
	inner := make(secret.Bytes, 0, len(content))
	defer func() { inner.Wipe() }()
	for len(content) > 0 && !(open && endOfContents(content)) {
		if inner, content, err = appendDER(inner, content, depth+1); err != nil {
			return dst, nil, err
		}
	}
	if open {
		if !endOfContents(content) {
			return dst, nil, errBER
		}
		rest = content[2:]
	}
	return appendTLV(dst, tag, inner), rest, nil
}

// appendPieces appends what an octet string holds, which may be in pieces that are
// octet strings themselves.
func appendPieces(dst secret.Bytes, ber []byte, depth int) (octets secret.Bytes, rest []byte, err error) {
	tag, content, open, rest, err := berElement(ber)
	if err != nil || depth > berDepth || tag&^berConstructed != berOctetString {
		return dst, nil, errBER
	}
	if tag&berConstructed == 0 {
		return append(dst, content...), rest, nil
	}
	for len(content) > 0 && !(open && endOfContents(content)) {
		if dst, content, err = appendPieces(dst, content, depth+1); err != nil {
			return dst, nil, err
		}
	}
	if open {
		if !endOfContents(content) {
			return dst, nil, errBER
		}
		rest = content[2:]
	}
	return dst, rest, nil
}

func endOfContents(ber []byte) bool { return len(ber) >= 2 && ber[0] == 0 && ber[1] == 0 }

// berElement splits off an element. The content of one whose length is open is all
// that follows, up to the end that is to be found in it.
func berElement(ber []byte) (tag byte, content []byte, open bool, rest []byte, err error) {
	if len(ber) < 2 || ber[0] == 0 || ber[0]&berHighTag == berHighTag {
		return 0, nil, false, nil, errBER
	}
	tag, first, after := ber[0], ber[1], ber[2:]
	if first == berOpenLength {
		if tag&berConstructed == 0 {
			return 0, nil, false, nil, errBER
		}
		return tag, after, true, nil, nil
	}
	length := int(first)
	if first > berOpenLength {
		octets := int(first &^ berOpenLength)
		if octets > 4 || octets > len(after) {
			return 0, nil, false, nil, errBER
		}
		length = 0
		for _, b := range after[:octets] {
			length = length<<8 | int(b)
		}
		after = after[octets:]
	}
	if length < 0 || length > len(after) {
		return 0, nil, false, nil, errBER
	}
	return tag, after[:length], false, after[length:], nil
}

// appendTLV appends an element with the shortest form of its length.
func appendTLV(dst secret.Bytes, tag byte, content []byte) secret.Bytes {
	dst = append(dst, tag)
	switch n := len(content); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n <= 0xff:
		dst = append(dst, 0x81, byte(n))
	case n <= 0xffff:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, content...)
}
