package keyring

const (
	hsmOverhead = HeaderSize + NonceSize + innerOverhead + TagSize
	maxHSM      = hsmOverhead + MaxPlaintext
)

// AppendHSM appends to header, HeaderSize bytes of SuiteHSM, what the HSM made of
// the body: nonce ‖ ciphertext ‖ tag. Its error is ErrInvalidCiphertext for parts
// that are not of the sizes that they must have.
func AppendHSM(header, sealed []byte) ([]byte, error) {
	blob := make([]byte, 0, len(header)+len(sealed))
	blob = append(append(blob, header...), sealed...)
	if h, _, err := SplitHSM(blob); err != nil || len(h) != len(header) {
		return nil, ErrInvalidCiphertext
	}
	return blob, nil
}

// SplitHSM is the inverse of [AppendHSM]. What it returns points into blob. Its only
// error is ErrInvalidCiphertext.
func SplitHSM(blob []byte) (header, sealed []byte, err error) {
	if len(blob) <= hsmOverhead || len(blob) > maxHSM || Suite(blob[0]) != SuiteHSM {
		return nil, nil, ErrInvalidCiphertext
	}
	return blob[:HeaderSize:HeaderSize], blob[HeaderSize:], nil
}
