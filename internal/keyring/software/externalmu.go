package software

import (
	"bytes"
	"crypto/sha3"
	"math/bits"

	"filippo.io/mldsa"
)

// This file is ML-DSA.Verify_internal (FIPS 204 §6.3, Algorithm 8) of a µ that the
// caller computed. The library signs such a µ and does not verify one. Everything
// here is public, so nothing is written for constant time, and arithmetic is plain
// modulo q. Tests hold it against the library over messages and against NIST's
// vectors.

// muParameters is a parameter set of FIPS 204 §4, Table 1.
type muParameters struct {
	rows, columns int    // k, ℓ
	tau           int    // ±1's in the challenge
	gamma1Bits    int    // γ1 = 2^gamma1Bits
	gamma2        uint32 // (q-1)/(2·γ2) values of the high bits
	beta          uint32
	omega         int // hints at most
	challenge     int // λ/4, bytes of c̃
	highBits      int // bits of a coefficient of w1
}

var (
	muParameters44 = muParameters{4, 4, 39, 17, (dsaQ - 1) / 88, 78, 80, 32, 6}
	muParameters65 = muParameters{6, 5, 49, 19, (dsaQ - 1) / 32, 196, 55, 48, 4}
	muParameters87 = muParameters{8, 7, 60, 19, (dsaQ - 1) / 32, 120, 75, 64, 4}
)

const (
	dsaN = 256
	dsaQ = 8380417
	dsaD = 13 // bits dropped from t

	dsaRootOfUnity = 1753
	dsaInverseOfN  = 8347681
)

// polynomial has coefficients in [0, q), in the ring or in the NTT domain.
type polynomial [dsaN]uint32

// verifyMu returns nil if signature is the key's of mu, which has 64 bytes.
func verifyMu(key *mldsa.PublicKey, mu, signature []byte) error {
	var p *muParameters
	switch key.Parameters() {
	case mldsa.MLDSA44():
		p = &muParameters44
	case mldsa.MLDSA65():
		p = &muParameters65
	case mldsa.MLDSA87():
		p = &muParameters87
	default:
		return errMu
	}
	if len(signature) != key.Parameters().SignatureSize() {
		return errMu
	}
	challenge, rest := signature[:p.challenge], signature[p.challenge:]
	responseSize := dsaN / 8 * (p.gamma1Bits + 1)
	z := make([]polynomial, p.columns)
	for i := range z {
		if !p.unpackResponse(&z[i], rest[:responseSize]) {
			return errMu
		}
		z[i].ntt()
		rest = rest[responseSize:]
	}
	hints, ok := p.unpackHints(rest)
	if !ok {
		return errMu
	}
	c := p.sampleInBall(challenge)
	c.ntt()

	encoded := key.Bytes()
	rho, t1 := encoded[:32], encoded[32:]
	h := sha3.NewSHAKE256()
	_, _ = h.Write(mu)
	for row := range p.rows {
		w := commitmentRow(rho, byte(row), z, &c, t1[row*320:(row+1)*320])
		var high polynomial
		for i := range w {
			high[i] = p.useHint(w[i], hints[row][i])
		}
		_, _ = h.Write(pack(&high, p.highBits))
	}
	own := make([]byte, p.challenge)
	_, _ = h.Read(own)
	if !bytes.Equal(own, challenge) {
		return errMu
	}
	return nil
}

// commitmentRow returns one row of w' = NTT⁻¹(Â·ẑ − ĉ·NTT(t1·2^d)).
func commitmentRow(rho []byte, row byte, z []polynomial, c *polynomial, t1 []byte) polynomial {
	var t polynomial
	unpack(&t, t1, 10)
	for i := range t {
		t[i] <<= dsaD // < 2²³, which may exceed q
		t[i] %= dsaQ
	}
	t.ntt()
	var w polynomial
	for i := range w {
		w[i] = dsaQ - multiply(c[i], t[i])
	}
	for column := range z {
		a := sampleMatrix(rho, row, byte(column))
		for i := range w {
			w[i] = uint32((uint64(w[i]) + uint64(a[i])*uint64(z[column][i])) % dsaQ)
		}
	}
	w.inverseNTT()
	return w
}

// unpackResponse reads a polynomial of z and reports whether all its coefficients
// are less than γ1 − β from zero (Algorithm 19 and Algorithm 8, line 13).
func (p *muParameters) unpackResponse(z *polynomial, b []byte) bool {
	unpack(z, b, p.gamma1Bits+1)
	gamma1 := uint32(1) << p.gamma1Bits
	for i, packed := range z {
		// The coefficient is γ1 − packed.
		if packed <= p.beta || packed >= 2*gamma1-p.beta {
			return false
		}
		z[i] = (dsaQ + gamma1 - packed) % dsaQ
	}
	return true
}

// unpackHints is Algorithm 21, with every check against a second form.
func (p *muParameters) unpackHints(b []byte) (hints [][dsaN]bool, ok bool) {
	hints = make([][dsaN]bool, p.rows)
	index := 0
	for row := range hints {
		end := int(b[p.omega+row])
		if end < index || end > p.omega {
			return nil, false
		}
		for first := index; index < end; index++ {
			if index > first && b[index-1] >= b[index] {
				return nil, false
			}
			hints[row][b[index]] = true
		}
	}
	for ; index < p.omega; index++ {
		if b[index] != 0 {
			return nil, false
		}
	}
	return hints, true
}

// sampleInBall is Algorithm 29.
func (p *muParameters) sampleInBall(seed []byte) (c polynomial) {
	h := sha3.NewSHAKE256()
	_, _ = h.Write(seed)
	var signs [8]byte
	_, _ = h.Read(signs[:])
	var j [1]byte
	for i := dsaN - p.tau; i < dsaN; i++ {
		for {
			_, _ = h.Read(j[:])
			if int(j[0]) <= i {
				break
			}
		}
		c[i] = c[j[0]]
		c[j[0]] = 1
		if bit := i + p.tau - dsaN; signs[bit/8]>>(bit%8)&1 == 1 {
			c[j[0]] = dsaQ - 1
		}
	}
	return c
}

// sampleMatrix is an entry of Â (Algorithms 30 and 32), in the NTT domain.
func sampleMatrix(rho []byte, row, column byte) (a polynomial) {
	h := sha3.NewSHAKE128()
	_, _ = h.Write(rho)
	_, _ = h.Write([]byte{column, row})
	var block [168]byte // the rate of SHAKE128, a multiple of 3
	for i := 0; i < dsaN; {
		_, _ = h.Read(block[:])
		for b := block[:]; len(b) > 0 && i < dsaN; b = b[3:] {
			if x := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16; x < dsaQ {
				a[i] = x
				i++
			}
		}
	}
	return a
}

// useHint is Algorithm 40 over Algorithm 36.
func (p *muParameters) useHint(r uint32, hint bool) uint32 {
	low := int64(r % (2 * p.gamma2))
	if low > int64(p.gamma2) {
		low -= int64(2 * p.gamma2)
	}
	var high uint32
	if rest := int64(r) - low; rest == dsaQ-1 {
		low--
	} else {
		high = uint32(rest) / (2 * p.gamma2)
	}
	if !hint {
		return high
	}
	values := (dsaQ - 1) / (2 * p.gamma2)
	if low > 0 {
		return (high + 1) % values
	}
	return (high + values - 1) % values
}

// unpack reads coefficients of so many bits each, the lowest bit first.
func unpack(p *polynomial, b []byte, width int) {
	var buffer uint64
	have := 0
	for i := range p {
		for have < width {
			buffer |= uint64(b[0]) << have
			b = b[1:]
			have += 8
		}
		p[i] = uint32(buffer) & (1<<width - 1)
		buffer >>= width
		have -= width
	}
}

// pack is the inverse of unpack.
func pack(p *polynomial, width int) []byte {
	out := make([]byte, 0, dsaN/8*width)
	var buffer uint64
	have := 0
	for _, x := range p {
		buffer |= uint64(x) << have
		for have += width; have >= 8; have -= 8 {
			out = append(out, byte(buffer))
			buffer >>= 8
		}
	}
	return out
}

func multiply(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) % dsaQ) }

// zetas are the powers of the root of unity in the order that the NTT uses them
// (FIPS 204, Appendix B).
var zetas = func() (z [dsaN]uint32) {
	power := uint32(1)
	for exponent := range z {
		z[bits.Reverse8(uint8(exponent))] = power
		power = multiply(power, dsaRootOfUnity)
	}
	return z
}()

// ntt is Algorithm 41.
func (p *polynomial) ntt() {
	m := 0
	for length := dsaN / 2; length >= 1; length /= 2 {
		for start := 0; start < dsaN; start += 2 * length {
			m++
			for j := start; j < start+length; j++ {
				t := multiply(zetas[m], p[j+length])
				p[j+length] = (p[j] + dsaQ - t) % dsaQ
				p[j] = (p[j] + t) % dsaQ
			}
		}
	}
}

// inverseNTT is Algorithm 42.
func (p *polynomial) inverseNTT() {
	m := dsaN
	for length := 1; length < dsaN; length *= 2 {
		for start := 0; start < dsaN; start += 2 * length {
			m--
			for j := start; j < start+length; j++ {
				t := p[j]
				p[j] = (t + p[j+length]) % dsaQ
				p[j+length] = multiply(dsaQ-zetas[m], t+dsaQ-p[j+length])
			}
		}
	}
	for i := range p {
		p[i] = multiply(p[i], dsaInverseOfN)
	}
}
