package approval

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/strongroom/strongroom/internal/store"
)

// Needed is how many operators must sign.
const Needed = 2

// maxOperators bounds a rule.
const maxOperators = 32

// Matter is a kind of change that a rule may cover.
type Matter string

// The matters there are.
const (
	// Root is another root in place of the one that there is, and recovery shares.
	Root Matter = "root"
	// Restore is the restoring of a backup.
	Restore Matter = "restore"
	// Deletion is a waiting period of less than 30 days before a key is deleted.
	Deletion Matter = "deletion"

	// ofRule is a change of the rule itself, which is always covered.
	ofRule Matter = "two-person-rule"
)

// Matters are those that a rule may name.
var Matters = []Matter{Root, Restore, Deletion}

// Operator is a person who may approve.
type Operator struct {
	Name string `json:"name"`
	// Key is an SSH public key as a line of an authorized_keys file, without options
	// and comment.
	Key string `json:"key"`
}

// Rule says for what two operators are needed. The zero Rule asks for nothing.
type Rule struct {
	// Operators are ascending by name, and each has a key of its own.
	Operators []Operator `json:"operators"`
	Matters   []Matter   `json:"matters"`
	Since     time.Time  `json:"since"`
}

// On says whether the rule is in force.
func (r Rule) On() bool { return len(r.Operators) > 0 }

// Covers says whether two operators are needed for a matter.
func (r Rule) Covers(m Matter) bool {
	return r.On() && (m == ofRule || slices.Contains(r.Matters, m))
}

var operatorName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}$`)

// NewRule checks what a rule is to be. Names are those of operators, with their keys.
func NewRule(operators map[string]string, matters []string, now time.Time) (Rule, error) {
	r := Rule{Since: now}
	owners := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(operators)) {
		if !operatorName.MatchString(name) {
			return Rule{}, refusal(fmt.Sprintf("%.70q is no name of an operator", name), "Names have up to 64 letters, digits and ._@-")
		}
		_, line, err := parseKey(operators[name])
		if err != nil {
			return Rule{}, refusal(fmt.Sprintf("the key of %s cannot be used: %v", name, err), "Name a .pub file with one line, as ssh-keygen -t ed25519 writes.")
		}
		if other, taken := owners[line]; taken {
			return Rule{}, refusal(fmt.Sprintf("%s and %s have the same key", other, name), "Two people are wanted: each has a key of their own.")
		}
		owners[line] = name
		r.Operators = append(r.Operators, Operator{name, line})
	}
	if len(r.Operators) < Needed || len(r.Operators) > maxOperators {
		return Rule{}, refusal(fmt.Sprintf("%d operators are named, and a rule has %d to %d", len(r.Operators), Needed, maxOperators),
			"Name three or more, so that one key may be lost: --operator alice=alice.pub --operator bob=bob.pub --operator carol=carol.pub")
	}
	for _, name := range matters {
		m := Matter(name)
		if !slices.Contains(Matters, m) {
			return Rule{}, refusal(fmt.Sprintf("there is nothing called %.40q that two people can be needed for", name), "There is: root, restore, deletion.")
		}
		if !slices.Contains(r.Matters, m) {
			r.Matters = append(r.Matters, m)
		}
	}
	if len(r.Matters) == 0 {
		return Rule{}, refusal("nothing is named that two people are to be needed for", "--for root,restore,deletion")
	}
	slices.Sort(r.Matters)
	return r, nil
}

// keys returns the operators' keys in their order. They were checked when the rule was
// made.
func (r Rule) keys() ([]ssh.PublicKey, error) {
	keys := make([]ssh.PublicKey, len(r.Operators))
	for i, o := range r.Operators {
		key, _, err := parseKey(o.Key)
		if err != nil {
			return nil, fmt.Errorf("approval: the key of %s: %w", o.Name, err)
		}
		keys[i] = key
	}
	return keys, nil
}

// signer returns the operator who has signed a text.
func (r Rule) signer(text, signature []byte) (Operator, string, error) {
	keys, err := r.keys()
	if err != nil {
		return Operator{}, "", err
	}
	key, err := verify(text, signature, keys)
	if err != nil {
		return Operator{}, "", err
	}
	i := slices.IndexFunc(keys, func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) })
	return r.Operators[i], ssh.FingerprintSHA256(key), nil
}

// Check returns who has signed a text: at least two different operators, or an error
// that says what is wrong. It is for what is done where no server and no record of a
// request is; what makes the text that of one occasion is up to the caller.
func (r Rule) Check(text []byte, signatures [][]byte) (names []string, err error) {
	for i, signature := range signatures {
		o, _, err := r.signer(text, signature)
		if err != nil {
			return nil, refusal(fmt.Sprintf("signature %d: %v", i+1, err), "Sign the text as it is: ssh-keygen -Y sign -n "+Namespace+" -f KEY FILE")
		}
		if !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	if len(names) < Needed {
		return nil, refusal(fmt.Sprintf("%d operators have signed, and %d must", len(names), Needed), "Operators are: "+strings.Join(r.names(), ", "))
	}
	return names, nil
}

func (r Rule) names() []string {
	names := make([]string, len(r.Operators))
	for i, o := range r.Operators {
		names[i] = o.Name
	}
	return names
}

// ruleRecords has at most one record, under ruleID.
var ruleRecords = store.NewCollection[Rule]("two-person-rule", 1)

const ruleID = "rule"
