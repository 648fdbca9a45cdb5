package journal

import (
	"crypto/sha256"
)

// Hash is a SHA-256 value.
type Hash [sha256.Size]byte

// The tree is that of RFC 6962 §2.1, whose leaf input here is a salt of 32 bytes
// followed by the record. The salt hides the record: without it nobody can try
// guesses against a leaf that a proof shows.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// commit returns the leaf of a record: SHA-256(0x00 ‖ salt ‖ record).
func commit(scratch []byte, salt *Hash, record []byte) (leaf Hash, _ []byte) {
	scratch = append(scratch[:0], leafPrefix)
	scratch = append(scratch, salt[:]...)
	scratch = append(scratch, record...)
	return sha256.Sum256(scratch), scratch
}

// emptyHash is the hash of nothing.
var emptyHash = Hash(sha256.Sum256(nil))

func node(left, right *Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// merkleRoot returns the root over leaves, which it overwrites. The root of no
// leaves is the hash of nothing.
func merkleRoot(leaves []Hash) Hash {
	if len(leaves) == 0 {
		return emptyHash
	}
	for len(leaves) > 1 {
		leaves = foldLevel(leaves, leaves)
	}
	return leaves[0]
}

// foldLevel writes the level above level into dst, which may be level itself,
// and returns it. A last node without a neighbour moves up as it is, which makes
// the tree of RFC 6962.
func foldLevel(dst, level []Hash) []Hash {
	n := 0
	for i := 0; i < len(level); i += 2 {
		if i+1 < len(level) {
			dst[n] = node(&level[i], &level[i+1])
		} else {
			dst[n] = level[i]
		}
		n++
	}
	return dst[:n]
}

// tree is a whole Merkle tree, its leaves first, for those who want many proofs.
type tree [][]Hash

func newTree(leaves []Hash) tree {
	t := tree{leaves}
	for level := leaves; len(level) > 1; {
		level = foldLevel(make([]Hash, (len(level)+1)/2), level)
		t = append(t, level)
	}
	return t
}

// proof returns the audit path of leaf index (RFC 6962 §2.1.1), from the leaf
// upwards.
func (t tree) proof(index int) [][]byte {
	var path [][]byte
	for _, level := range t {
		if sibling := index ^ 1; sibling < len(level) {
			path = append(path, level[sibling][:])
		}
		index >>= 1
	}
	return path
}

// proofLength returns the length of the audit path of leaf index among count.
func proofLength(index, count int) int {
	n := 0
	for count > 1 {
		if index^1 < count {
			n++
		}
		index >>= 1
		count = (count + 1) >> 1
	}
	return n
}

// rootFromProof returns the root that path leads to from leaf, which is number
// index among count, and false when the path has the wrong length.
func rootFromProof(leaf Hash, index, count int, path []Hash) (Hash, bool) {
	if index < 0 || index >= count || len(path) != proofLength(index, count) {
		return Hash{}, false
	}
	for count > 1 {
		switch {
		case index&1 == 1:
			leaf, path = node(&path[0], &leaf), path[1:]
		case index+1 < count:
			leaf, path = node(&leaf, &path[0]), path[1:]
		}
		index >>= 1
		count = (count + 1) >> 1
	}
	return leaf, true
}
