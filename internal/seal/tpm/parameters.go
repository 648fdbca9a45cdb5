package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/internal/seal"
)

// maxPCR is the highest register that every PC's TPM has (TCG PC Client Platform TPM
// Profile, section 4.6).
const maxPCR = 23

// parameters is what the keyslots keep of a root: JSON with exactly these members in
// this order.
type parameters struct {
	// Primary is the name of the storage key: its hash algorithm and hash.
	Primary []byte `json:"primary"`
	// Public and Private are the two halves of the sealed object, as TPM2_Create
	// returns them, without their sizes.
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
	// Auth says that the object has an auth value.
	Auth bool `json:"auth"`
	// PCRs are those that the object is bound to, ascending.
	PCRs []register `json:"pcrs"`
}

// register is a PCR of the SHA-256 bank and the value that it had.
type register struct {
	PCR   int    `json:"pcr"`
	Value []byte `json:"value"`
}

// Sizes in bytes: of a name with SHA-256, and at most of the halves of an object.
const (
	nameSize   = 2 + sha256.Size
	maxPublic  = 256
	maxPrivate = 1024
)

// parseParameters takes what a root can have. Its only error is
// [seal.ErrSlotsCorrupt].
func parseParameters(b []byte) (parameters, error) {
	var p parameters
	err := json.Unmarshal(b, &p)
	if err == nil {
		var again []byte
		if again, err = json.Marshal(p); err == nil && !bytes.Equal(again, b) {
			err = seal.ErrSlotsCorrupt
		}
	}
	if err != nil || len(p.Primary) != nameSize || p.PCRs == nil ||
		len(p.Public) == 0 || len(p.Public) > maxPublic || len(p.Private) == 0 || len(p.Private) > maxPrivate {
		return parameters{}, corrupt()
	}
	for i, r := range p.PCRs {
		if r.PCR < 0 || r.PCR > maxPCR || len(r.Value) != sha256.Size || i > 0 && p.PCRs[i-1].PCR >= r.PCR {
			return parameters{}, corrupt()
		}
	}
	return p, nil
}

func corrupt() error {
	return seal.NewError("the keyslots are corrupt: the root in the TPM is not as it was written", "Restore the data from a backup. Nothing was changed.", seal.ErrSlotsCorrupt)
}

// name is that of the sealed object: its hash algorithm, which is always SHA-256, and
// the hash of its public half (part 1, section 16).
func (p parameters) name() []byte {
	sum := sha256.Sum256(p.Public)
	return append([]byte{0, 0x0b}, sum[:]...)
}

func (p parameters) pcrs() []int {
	numbers := make([]int, len(p.PCRs))
	for i, r := range p.PCRs {
		numbers[i] = r.PCR
	}
	return numbers
}

// ParsePCRs reads the numbers of registers, with commas between them. No text is no
// register.
func ParsePCRs(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	var numbers []int
	for _, field := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 0 || n > maxPCR {
			return nil, fmt.Errorf("%q is not the number of a PCR: those are 0 to %d", field, maxPCR)
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// listed is how a person reads numbers: "0, 2, 7".
func listed(numbers []int) string {
	text := make([]string, len(numbers))
	for i, n := range numbers {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ", ")
}
