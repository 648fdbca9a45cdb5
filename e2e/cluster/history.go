package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// step is a call of a history: on one alias, or on one key.
type step struct {
	Operation string
	Argument  string // the key that an alias is to point to
	Reads     bool   // changes nothing
	Node      int

	Outcome string
	Code    string // of a refusal
	Found   string // of a read
	Call    int64  // when it was made and answered, in nanoseconds of the run
	Return  int64
}

// aliasModel is one alias: the key that it points to, "" for none. A call without an
// answer is made, or made at the very end, where nobody sees it.
var aliasModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		s, target := input.(step), state.(string)
		next, refusal := target, ""
		switch s.Operation {
		case "CreateAlias":
			if next = s.Argument; target != "" {
				next, refusal = target, "AlreadyExistsException"
			}
		case "UpdateAlias":
			if next = s.Argument; target == "" {
				next, refusal = "", "NotFoundException"
			}
		case "DeleteAlias":
			if next = ""; target == "" {
				refusal = "NotFoundException"
			}
		}
		return s.agrees(refusal, target), next
	},
}

// The states of a key.
const (
	enabled  = "Enabled"
	disabled = "Disabled"
	pending  = "PendingDeletion"
)

// keyModel is one key's state.
var keyModel = porcupine.Model{
	Init: func() any { return enabled },
	Step: func(state, input, _ any) (bool, any) {
		s, was := input.(step), state.(string)
		next, refusal := was, ""
		change := func(from bool, to string) {
			if from {
				next = to
			} else {
				refusal = "KMSInvalidStateException"
			}
		}
		switch s.Operation {
		case "EnableKey":
			change(was != pending, enabled)
		case "DisableKey":
			change(was != pending, disabled)
		case "ScheduleKeyDeletion":
			change(was != pending, pending)
		case "CancelKeyDeletion":
			change(was == pending, disabled)
		case "Encrypt":
			switch was {
			case disabled:
				refusal = "DisabledException"
			case pending:
				refusal = "KMSInvalidStateException"
			}
		}
		return s.agrees(refusal, was), next
	},
}

// agrees tells whether a call can have been answered as it was, by a state in which it
// is refused with a code, or not when that is "", and in which a read finds something.
func (s step) agrees(refusal, found string) bool {
	switch s.Outcome {
	case done:
		return refusal == "" && (s.Operation != "DescribeKey" || s.Found == found)
	case refused:
		return refusal == s.Code
	}
	return true
}

// clientsPerNode and stepsPerClient are the size of a history.
const (
	clientsPerNode = 2
	stepsPerClient = 6
)

// keepTargets is how many histories share the keys that their aliases point to. Half of
// them may each leave an alias, and a key can have 50.
const keepTargets = 50

// historian makes histories, each on an alias or a key of its own, and checks them.
type historian struct {
	*runner
	count, strict, undecided, disturbed atomic.Int64
	faulty                              atomic.Bool // a fault is under way
}

func newHistorian(r *runner) *historian { return &historian{runner: r} }

func (h *historian) checked() int { return int(h.count.Load()) }

func (h *historian) collect(report *Report) {
	report.Histories = h.checked()
	report.StrictlyHistories = int(h.strict.Load())
	report.UndecidedHistories = int(h.undecided.Load())
	report.HistoriesUnderFault = int(h.disturbed.Load())
}

// run makes one history after another until ctx ends.
func (h *historian) run(ctx context.Context) {
	choices := rand.New(rand.NewPCG(h.Seed, 200))
	var targets []string
	for i := 0; ctx.Err() == nil; i++ {
		if i%keepTargets == 0 {
			targets = nil
		}
		for len(targets) < 2 && ctx.Err() == nil {
			if id := h.newKey(ctx, choices); id != "" {
				targets = append(targets, id)
			}
		}
		subject, model := fmt.Sprintf("alias/history-%d", i), aliasModel
		if i%2 == 1 {
			if subject, model = h.newKey(ctx, choices), keyModel; subject == "" {
				continue
			}
		}
		disturbed := h.faulty.Load()
		steps := h.make(ctx, subject, targets, choices.Uint64())
		if ctx.Err() != nil {
			return
		}
		if disturbed || h.faulty.Load() {
			h.disturbed.Add(1)
		}
		h.judge(subject, model, steps)
	}
}

func (h *historian) newKey(ctx context.Context, choices *rand.Rand) string {
	a := h.root.kms(ctx, h.anyNode(choices), "CreateKey", map[string]any{"Description": "history"})
	return a.field("KeyMetadata", "KeyId")
}

// make lets clients of all nodes call at once.
func (h *historian) make(ctx context.Context, subject string, targets []string, seed uint64) (all []step) {
	var mu sync.Mutex
	var clients sync.WaitGroup
	for c := range nodes * clientsPerNode {
		clients.Go(func() {
			choices := rand.New(rand.NewPCG(seed, uint64(c)))
			for range stepsPerClient {
				s := h.step(ctx, c%nodes, subject, targets, choices)
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
				if s.Outcome == unknown {
					return // further ones would make the check slow
				}
			}
		})
	}
	clients.Wait()
	return all
}

func (h *historian) step(ctx context.Context, node int, subject string, targets []string, choices *rand.Rand) step {
	s := step{Node: node}
	in := map[string]any{"KeyId": subject}
	alias := map[string]any{"AliasName": subject}
	onAlias := subject[:6] == "alias/"
	if onAlias {
		switch n := choices.IntN(10); {
		case n < 2:
			s.Operation = "CreateAlias"
		case n < 4:
			s.Operation = "UpdateAlias"
		case n < 6:
			s.Operation, in = "DeleteAlias", alias
		default:
			s.Operation, s.Reads = "DescribeKey", true
		}
		if s.Operation == "CreateAlias" || s.Operation == "UpdateAlias" {
			s.Argument = targets[choices.IntN(len(targets))]
			in = map[string]any{"AliasName": subject, "TargetKeyId": s.Argument}
		}
	} else {
		switch n := choices.IntN(10); {
		case n < 2:
			s.Operation = "EnableKey"
		case n < 4:
			s.Operation = "DisableKey"
		case n < 5:
			s.Operation = "ScheduleKeyDeletion"
		case n < 6:
			s.Operation = "CancelKeyDeletion"
		case n < 8:
			s.Operation, s.Reads = "DescribeKey", true
		default:
			s.Operation, s.Reads, in["Plaintext"] = "Encrypt", true, "aGVsbG8="
		}
	}
	s.Call = time.Since(h.began).Nanoseconds()
	a := h.root.kms(ctx, h.urls[node], s.Operation, in)
	s.Return = time.Since(h.began).Nanoseconds()
	s.Outcome, s.Code = a.outcome(), a.code
	if s.Operation == "DescribeKey" {
		if s.Found = a.field("KeyMetadata", "KeyState"); onAlias {
			var ok bool
			if s.Found, ok = aliasTarget(a); ok {
				s.Outcome = done
			}
		}
	}
	return s
}

// decideWithin bounds the check of one history.
const decideWithin = 20 * time.Second

// judge checks a history: all changes, with what each node shows, by its reads and its
// refusals. With what all nodes show at once it need not be linearizable: a change that
// is not acknowledged yet may be seen on one node and then not on another.
func (h *historian) judge(subject string, model porcupine.Model, steps []step) {
	all := porcupine.Ok
	for node := range nodes {
		part := slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return (s.Reads || s.Outcome == refused) && s.Node != node })
		switch porcupine.CheckOperationsTimeout(model, operations(part), decideWithin) {
		case porcupine.Illegal:
			h.violate("%s, seen through node %d, is not linearizable; %s", subject, node, h.keep(subject, steps))
			return
		case porcupine.Unknown:
			all = porcupine.Unknown
		}
	}
	if all == porcupine.Unknown {
		h.undecided.Add(1)
		return
	}
	h.count.Add(1)
	if porcupine.CheckOperationsTimeout(model, operations(steps), decideWithin) == porcupine.Ok {
		h.strict.Add(1)
	}
}

// operations are steps as porcupine wants them.
func operations(steps []step) (all []porcupine.Operation) {
	end := int64(0)
	for _, s := range steps {
		end = max(end, s.Return)
	}
	for i, s := range steps {
		if s.Outcome == unknown {
			if s.Reads {
				continue
			}
			s.Return = end + 1
		}
		all = append(all, porcupine.Operation{ClientId: i, Input: s, Call: s.Call, Return: s.Return})
	}
	return all
}

// keep writes a history to a file, and returns where it is.
func (h *historian) keep(subject string, steps []step) string {
	path := filepath.Join(h.Dir, fmt.Sprintf("history-%d.json", time.Since(h.began).Nanoseconds()))
	slices.SortFunc(steps, func(a, b step) int { return int(a.Call - b.Call) })
	text, err := json.MarshalIndent(steps, "", " ")
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return err.Error()
	}
	return path
}
