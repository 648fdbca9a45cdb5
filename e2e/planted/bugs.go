package main

// bug is a defect that is planted into a copy of one file, and the test that must
// find it.
type bug struct {
	name string // what is wrong
	file string // where, from the top of the repository
	// old stands in file just once; new takes its place.
	old, new string
	pkg, run string // the test
	args     []string
}

var bugs = []bug{
	// Durability.
	{
		name: "a commit is not synced", file: "internal/store/pebble/durable.go",
		old: "pebble.Sync", new: "pebble.NoSync",
		pkg: "internal/store/pebble", run: "^TestCrash$",
	},
	{
		name: "a folder is not marked while it is made", file: "internal/store/pebble/making.go",
		old: "if err := b.mark(mark); err != nil {", new: "if err := error(nil); err != nil {",
		pkg: "internal/store/pebble", run: "^TestCrash$", args: []string{"-crash-seeds", "12", "-crash-every"},
	},
	{
		name: "a call is answered before its commit has ended", file: "internal/store/commit.go",
		old: "	return s.backend.Commit(ctx, *batch)\n", new: "	go func() { _ = s.backend.Commit(ctx, *batch) }()\n	return nil\n",
		pkg: "internal/store", run: "TestAFailedCommitStopsTheStore",
	},
	{
		name: "a failed commit does not stop the process", file: "internal/store/commit.go",
		old: "	s.fatal(fmt.Errorf(\"store: a commit failed: %w\", reason))\n", new: "",
		pkg: "internal/store", run: "TestAFailedCommitStopsTheStore",
	},
	{
		name: "a full disk is not refused", file: "internal/store/pebble/commit.go",
		old: "case usage.AvailBytes < need:", new: "case false:",
		pkg: "internal/store/pebble", run: "Full|Reserve|Room",
	},
	{
		name: "a failed write is forgotten", file: "internal/store/pebble/commit.go",
		old: "	// Apply returns nil after Fatalf has returned.\n	if err := b.failure.get(); err != nil {\n		return err\n	}\n", new: "",
		pkg: "internal/store/pebble", run: "TestFaults$",
	},
	// Transactions.
	{
		name: "what is refused stays in memory", file: "internal/store/shared.go",
		old: "	s.pending = layer{}\n", new: "",
		pkg: "internal/store", run: "TestWhatBuiltUponARefusedUpdateIsRefused|TestContract|TestAFullDisk",
	},
	{
		name: "an update returns before what it read is durable", file: "internal/store/update.go",
		old: "	case s.pending.empty() && s.agreedLocked():\n", new: "	case true:\n",
		pkg: "internal/store/pebble", run: "TestContract",
	},
	{
		name: "a stale cache: changed entries stay", file: "internal/store/cache.go",
		old: "		shard.drop(key, at, change.Epoch)\n", new: "		_, _ = shard, at\n",
		pkg: "internal/store", run: "TestCache",
	},
	{
		name: "a stale cache: what was read before a change is kept after it", file: "internal/store/cache.go",
		old: "	if epoch < s.changed {\n		return\n	}\n", new: "",
		pkg: "internal/store", run: "TestCache",
	},
	// The audit trail.
	{
		name: "a reply without its audit record", file: "internal/gateway/pipeline.go",
		old: "	if recordErr != nil {\n", new: "	if false {\n",
		pkg: "internal/gateway", run: "TestNoAnswerWithoutRecord",
	},
	{
		name: "an effect without its audit record", file: "internal/authz/commit.go",
		old: "		if err := tx.Append(c.pipe.Record(c, out)); err != nil {\n", new: "		if err := error(nil); err != nil {\n",
		pkg: "internal/server", run: "TestNoReplyWithoutRecordUnderFaults",
	},
	{
		name: "a frame is not chained to the one before", file: "internal/journal/writer.go",
		old: "prev: w.last.hash,", new: "prev: genesis(w.c.Deployment, w.c.Stream),",
		pkg: "internal/journal", run: "TestVerifyWhatWasWritten",
	},
	{
		name: "signatures of checkpoints are not verified", file: "internal/journal/chain.go",
		old: "if kind, detail := c.keys.checkpoint(&cp); detail != \"\" {", new: "if kind, detail := c.keys.checkpoint(&cp); false {",
		pkg: "internal/journal", run: "TestVerifyFindsEveryByte|TestVerifyNamesWhatIsWrong",
	},
	{
		name: "records are not compared with their frame", file: "internal/journal/verify.go",
		old: "if merkleRoot(o.leaves()) != f.root {", new: "if false {",
		pkg: "internal/journal", run: "TestVerifyChecksBodies",
	},
	// What is at rest.
	{
		name: "a missing binding: a record opens under another's key", file: "internal/store/seal.go",
		old: "	return append(append(ad, header...), key...)\n", new: "	return append(ad, header...)\n",
		pkg: "internal/store", run: "TestRecordsThatWereTamperedWith",
	},
	{
		name: "a missing binding: version and schema of a record can be changed", file: "internal/store/seal.go",
		old: "	return append(append(ad, header...), key...)\n", new: "	return append(ad, key...)\n",
		pkg: "internal/store", run: "TestUnsealRefusesEveryChange",
	},
	{
		name: "the live set forgets to take old values out", file: "internal/store/live.go",
		old: "		if before != nil {\n", new: "		if false {\n",
		pkg: "internal/store", run: "TestTheLiveSet",
	},
	{
		name: "the live set is not signed", file: "internal/journal/writer.go",
		old: "	if f.signed && w.c.State != nil {\n", new: "	if false {\n",
		pkg: "internal/server", run: "TestAnOlderDatabaseUnderANewerTrail",
	},
	{
		name: "an older database is taken", file: "internal/store/live.go",
		old: "	case at > epoch:\n", new: "	case false:\n",
		pkg: "internal/store", run: "TestADatabaseOlderThanItsTrail",
	},
	{
		name: "a false alarm: a node judges by a state that is behind the checkpoint", file: "internal/store/livecheck.go",
		old: "	err = s.View(ctx, func(Reader) error {\n		report, err = CheckLive(ctx, s.backend, s.sealer, key, signed)\n", new: "	err = s.View(ctx, func(r Reader) error {\n		report, err = s.checkLive(ctx, r.reading().snap.state, key, signed)\n",
		pkg: "internal/store", run: "TestTheLiveSetOfTwoNodes",
	},
	{
		name: "keyslots are taken without their MAC", file: "internal/seal/domain.go",
		old: "	if !hmac.Equal(mac, s.MAC) {\n", new: "	if !hmac.Equal(mac, mac) {\n",
		pkg: "internal/seal", run: "TestSlotsAreAuthenticAsAWhole",
	},
	{
		name: "a root file that others can read is taken", file: "internal/seal/file.go",
		old: "perm&0o077 != 0 {", new: "perm&0 != 0 {",
		pkg: "internal/seal", run: "TestFileRootRefusals",
	},
	// Cryptography.
	{
		name: "a missing binding: the encryption context", file: "internal/keyring/software/derive.go",
		old: "keyring.AppendContext(d.context[:0], encryptionContext)", new: "keyring.AppendContext(d.context[:0], nil)",
		pkg: "internal/keyring/software", run: "TestContextIsBound",
	},
	{
		name: "the commitment is not compared", file: "internal/keyring/software/encrypt.go",
		old: "if subtle.ConstantTimeCompare(d.commitment[:], blob[commitmentAt:nonceAt]) != 1 {", new: "if subtle.ConstantTimeCompare(d.commitment[:], d.commitment[:]) != 1 {",
		pkg: "internal/keyring/software", run: "TestEveryBitFlipIsRefused|TestCommitment",
	},
	// Who may.
	{
		name: "an explicit Deny is passed over", file: "internal/policy/evaluate.go",
		old: "		if f.denied {\n			d.Reason", new: "		if f.denied && f != &identity {\n			d.Reason",
		pkg: "internal/policy", run: "TestAgainstNaive|TestEvaluate|TestDecisions",
	},
	{
		name: "an inactive access key signs in", file: "internal/service/iam/signing.go",
		old: "err == nil && !record.Active {", new: "err == nil && false {",
		pkg: "internal/service/iam", run: "AccessKey",
	},
	{
		name: "a signature holds for ever", file: "internal/sigv4/verify.go",
		old: "		skew = DefaultSkew\n", new: "		skew = 1 << 50\n",
		pkg: "internal/sigv4", run: "TestTime",
	},
	{
		name: "an operation acts without having asked for permission", file: "internal/authz/commit.go",
		old: "	if !c.authorized {\n", new: "	if false {\n",
		pkg: "internal/authz", run: "TestCommitWithoutPermission",
	},
	// Backup and restore.
	{
		name: "a changed backup is taken", file: "internal/backup/reader.go",
		old: "!hmac.Equal(mac, tag(key, header, text))", new: "!hmac.Equal(mac, mac)",
		pkg: "internal/backup", run: "TestNoByteMayChange",
	},
	{
		name: "an image is of two moments", file: "internal/store/commit.go",
		old: "		if s.queue[n].alone != nil {\n", new: "		if false {\n",
		pkg: "internal/store", run: "TestAnImageIsOneState",
	},
	{
		name: "a restore with an old history leaves keys in use", file: "internal/server/restore.go",
		old: "(!past.whole || r.unnamed)", new: "r.unnamed",
		pkg: "internal/server", run: "TestWhatCameAfterTheBackup",
	},
	{
		name: "what cannot be made again is passed over", file: "internal/server/replay.go",
		old: "			if err := r.refuse(ctx, p, err); err != nil {\n", new: "			if err := error(nil); err != nil {\n",
		pkg: "internal/server", run: "TestChangesThatCannotBeMadeAgain",
	},
	// Copies between stores.
	{
		name: "a copy's audit trail is not compared", file: "internal/server/copyimage.go",
		old: "		case !bytes.Equal(is.frame, frame):\n", new: "		case false:\n",
		pkg: "internal/server", run: "TestStoreCopy",
	},
	{
		name: "a copy leaves its source in service", file: "internal/server/copy.go",
		old: "	if err := o.retire(ctx, image, note); err != nil {\n", new: "	if err := error(nil); err != nil {\n",
		pkg: "internal/server", run: "TestStoreCopy",
	},
	{
		name: "a copy of a database misses what a node did meanwhile", file: "internal/store/postgres/load.go",
		old: "uint64(atEpoch) != epoch || uint64(atFrame) != frame", new: "false",
		pkg: "internal/store/postgres", run: "TestRetire",
	},
	{
		name: "an update returns before other nodes go by what it found", file: "internal/store/update.go",
		old: "	case s.pending.empty() && s.agreedLocked():\n", new: "	case s.pending.empty():\n",
		pkg: "internal/store", run: "TestUpdatesWaitForWhatTheyFound",
	},
	// What falls due.
	{
		name: "a deletion that is overdue can be cancelled", file: "internal/service/kms/deletion.go",
		old: "k.DeletionDate != nil && !call.Time.Before(*k.DeletionDate)", new: "false",
		pkg: "internal/service/kms", run: "TestCancelKeyDeletion",
	},
	{
		name: "material that has expired opens until the worker comes", file: "internal/service/kms/key.go",
		old: "return !k.expiry.IsZero() && !now.Before(k.expiry)", new: "return false",
		pkg: "internal/service/kms", run: "Expir",
	},
	{
		name: "a start answers before what is overdue is done", file: "internal/server/server.go",
		old: "	s.kms.CatchUp(ctx)\n", new: "	_ = ctx\n",
		pkg: "internal/server", run: "TestWhatIsOverdueAtAStart",
	},
	// Seals of several nodes.
	{
		name: "a migration goes on although a node cannot open the new root", file: "internal/server/slotsoffer.go",
		old: "		case answer.Problem != \"\":\n", new: "		case false:\n",
		pkg: "internal/server", run: "TestAnotherRootOfSeveralNodes",
	},
	{
		name: "a node ends that did not hear of its own migration", file: "internal/server/slotsfollow.go",
		old: "	if s.slots.ahead != nil { // slots that were", new: "	if false { // slots that were",
		pkg: "internal/server", run: "TestKeyslotsThatANodeDoesNotHearOf",
	},
	{
		name: "a node that is cut off in a transaction holds all others up", file: "internal/store/postgres/postgres.go",
		old: "	pool.AfterConnect = limitIdle\n", new: "",
		pkg: "internal/server", run: "TestKeyslotsWhoseCommitIsLost/rotate",
	},
	{
		name: "a node takes a change on another's word, whatever the database shows", file: "internal/store/postgres/snapshot.go",
		old: " && len(last) > 0 && bytes.Equal(last, proof.id):", new: ":",
		pkg: "internal/store/postgres", run: "TestAChangeThatIsNotReplicatedIsNotAdopted",
	},
	{
		name: "what a node has read is shown at a later epoch", file: "internal/store/postgres/recent.go",
		old: "!ok || epoch > r.known || epoch < h.epoch", new: "!ok || epoch < h.epoch",
		pkg: "internal/store/postgres", run: "TestRecentShowsNoOtherEpoch",
	},
	// Recovery.
	{
		name: "shares open a version of the domain key that somebody has added", file: "internal/server/recovery.go",
		old: "		return f.checkVouched(ctx, meta)\n", new: "		return nil\n",
		pkg: "internal/server", run: "TestRecoveryRefusesAForgedVersion",
	},
	// Keys that are packed in memory.
	{
		name: "a stale cache: changed entries stay packed", file: "internal/store/cache.go",
		old: "		s.packed.drop(at)\n", new: "		_ = at\n",
		pkg: "internal/store", run: "TestCache",
	},
	// Seals of several nodes, once more.
	{
		name: "a node takes keyslots that it has replaced meanwhile for another's", file: "internal/server/slotsfollow.go",
		old: "	s.slots.mu.Lock()\n	defer s.slots.mu.Unlock()\n	meta, err := shared.Meta(ctx)\n",
		new: "	meta, err := shared.Meta(ctx)\n	s.slots.mu.Lock()\n	defer s.slots.mu.Unlock()\n",
		pkg: "internal/server", run: "TestSlotsThatWereReplaced",
	},
}
