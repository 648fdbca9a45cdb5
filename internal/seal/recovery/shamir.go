package recovery

import (
	"errors"
	"io"

	"github.com/strongroom/strongroom/internal/secret"
)

// point is the value of the polynomials, one for each byte of the secret, at x.
type point struct {
	x byte // not 0: there is the secret
	y secret.Bytes
}

// split returns n points, any k of which give what, and fewer of which say nothing
// of it.
func split(what secret.Bytes, k, n int, rand io.Reader) ([]point, error) {
	if k < 1 || n < k || n > 255 {
		return nil, errors.New("recovery: no such sharing")
	}
	points := make([]point, n)
	for i := range points {
		points[i] = point{x: byte(i + 1), y: make(secret.Bytes, len(what))}
	}
	coefficients := make(secret.Bytes, k)
	defer coefficients.Wipe()
	for i, b := range what {
		if _, err := io.ReadFull(rand, coefficients[1:]); err != nil {
			return nil, err
		}
		coefficients[0] = b
		for _, p := range points {
			var y byte
			for j := k - 1; j >= 0; j-- { // Horner
				y = multiply(y, p.x) ^ coefficients[j]
			}
			p.y[i] = y
		}
	}
	return points, nil
}

// at returns the value at x of the polynomials through points, which have different
// x and y of one length (Lagrange).
func at(x byte, points []point) secret.Bytes {
	value := make(secret.Bytes, len(points[0].y))
	for i, p := range points {
		weight := byte(1)
		for j, q := range points {
			if i != j {
				weight = multiply(weight, multiply(x^q.x, invert(p.x^q.x)))
			}
		}
		for b := range value {
			value[b] ^= multiply(weight, p.y[b])
		}
	}
	return value
}

// multiply multiplies in GF(2^8) modulo x^8+x^4+x^3+x+1, in time that does not
// depend on its arguments.
func multiply(a, b byte) (product byte) {
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return product
}

// invert returns the inverse of a, which is not 0: a^254.
func invert(a byte) byte {
	inverse := byte(1)
	for range 7 {
		a = multiply(a, a)
		inverse = multiply(inverse, a)
	}
	return inverse
}
