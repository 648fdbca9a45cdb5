package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The inputs and roots are those that the Certificate Transparency reference
// implementation publishes for RFC 6962 §2.1.
func TestMerklePublishedVectors(t *testing.T) {
	var leaves []Hash
	for _, in := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, sha256.Sum256(append([]byte{leafPrefix}, b...)))
	}
	for n, want := range []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	} {
		if got := merkleRoot(slices.Clone(leaves[:n])); hex.EncodeToString(got[:]) != want {
			t.Errorf("root of %d: %x, want %s", n, got, want)
		}
	}
}

// naiveRoot is the definition of RFC 6962 §2.1, word for word.
func naiveRoot(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := naiveRoot(leaves[:k]), naiveRoot(leaves[k:])
	return sha256.Sum256(append(append([]byte{nodePrefix}, left[:]...), right[:]...))
}

func TestMerkleProofs(t *testing.T) {
	for count := 1; count <= 70; count++ {
		leaves := make([]Hash, count)
		for i := range leaves {
			leaves[i] = sha256.Sum256([]byte{byte(i)})
		}
		root, tree := naiveRoot(leaves), newTree(slices.Clone(leaves))
		if merkleRoot(slices.Clone(leaves)) != root {
			t.Fatalf("the root of %d leaves is not the definition's", count)
		}
		for i, leaf := range leaves {
			path := hashes(tree.proof(i))
			if got, ok := rootFromProof(leaf, i, count, path); !ok || got != root {
				t.Fatalf("the proof of %d of %d fails", i, count)
			}
			for other := range count {
				if got, ok := rootFromProof(leaf, other, count, path); ok && got == root && other != i {
					t.Fatalf("the proof of %d of %d holds for %d", i, count, other)
				}
			}
		}
	}
}

func TestMerkleProofsAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(2, 40).Draw(t, "count")
		leaves := make([]Hash, count)
		for i := range leaves {
			leaves[i] = sha256.Sum256([]byte{byte(i)})
		}
		i := rapid.IntRange(0, count-1).Draw(t, "index")
		path, root := hashes(newTree(slices.Clone(leaves)).proof(i)), naiveRoot(leaves)
		switch rapid.IntRange(0, 3).Draw(t, "edit") {
		case 0:
			path = path[:len(path)-1]
		case 1:
			path = append(path, Hash{})
		case 2:
			path[rapid.IntRange(0, len(path)-1).Draw(t, "step")][rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		case 3:
			leaves[i][0] ^= 1
		}
		if got, ok := rootFromProof(leaves[i], i, count, path); ok && got == root {
			t.Fatal("a changed proof holds")
		}
	})
}

func hashes(path [][]byte) []Hash {
	out := make([]Hash, len(path))
	for i, b := range path {
		out[i] = Hash(b)
	}
	return out
}
