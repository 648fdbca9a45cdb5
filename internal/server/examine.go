package server

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/doctor"
	"github.com/strongroom/strongroom/internal/journal"
)

// expiresSoon is how long before the end of a certificate somebody should act.
const expiresSoon = 14 * 24 * time.Hour

var _ admin.Doctor = (*operator)(nil)

// Examine implements [admin.Doctor].
func (o *operator) Examine(ctx context.Context) ([]admin.Finding, error) {
	newest, err := o.newestRecord(ctx)
	if err != nil {
		return nil, err
	}
	serving := o.front != nil
	// A dev server's clock may have been moved.
	found := doctor.Examine(doctor.Config{Dir: o.cfg.DataDir, Now: o.clock.Machine(), Newest: newest, Serving: serving})
	sealed, err := o.Seal(ctx)
	if err != nil {
		return nil, err
	}
	found = append(found, sealFindings(sealed)...)
	if o.folder.mode == modeDev {
		found = append(found, admin.Finding{Check: "mode", Level: admin.Doubtful, Text: "this is a dev server's folder: anybody who reaches it is root",
			Advice: "never put real keys into it; a production server wants a folder of its own"})
	}
	if !serving {
		return found, nil
	}
	if err := o.ready(ctx); err != nil {
		found = append(found, admin.Finding{Check: "ready", Level: admin.Wrong, Text: fmt.Sprintf("calls cannot be made durable: %v", err), Advice: "docs/operations.md, \"When something is wrong\""})
	} else {
		found = append(found, admin.Finding{Check: "ready", Level: admin.Fine, Text: "calls are answered"})
	}
	o.certificates.each(func(listener string, notAfter time.Time) {
		found = append(found, certificateFinding(listener, notAfter.Sub(machineClock.Now())))
	})
	audit, err := o.deliveryFindings(ctx)
	return append(found, audit...), err
}

// ExamineFolder looks at a data folder that cannot be opened, for what it stands on.
func ExamineFolder(dir string) []admin.Finding {
	return doctor.Examine(doctor.Config{Dir: dir, Now: machineClock.Now()})
}

// newestRecord is when the newest audit record was committed.
func (o *operator) newestRecord(ctx context.Context) (newest time.Time, err error) {
	reader, err := o.folder.journalReader()
	if err != nil {
		return time.Time{}, err
	}
	err = reader.Tail(ctx, 1, func(e journal.Entry) error {
		newest = e.Committed
		return nil
	})
	return newest, err
}

func sealFindings(s admin.Seal) (found []admin.Finding) {
	const check = "root"
	for _, r := range s.Roots {
		switch {
		case r.Problem != "":
			found = append(found, admin.Finding{Check: check, Level: admin.Wrong, Text: "the next start would be refused: " + r.Problem,
				Advice: "put the root back; or, while this server runs, strongroom seal migrate"})
		case r.Where != "":
			found = append(found, admin.Finding{Check: check, Level: admin.Fine, Text: "the keys open with " + r.Where})
		}
	}
	if s.Recovery == nil {
		return append(found, admin.Finding{Check: "recovery", Level: admin.Doubtful, Text: "there is no recovery key: without the root, every key is lost for ever",
			Advice: "strongroom recovery init --shares 5 --needed 3"})
	}
	return append(found, admin.Finding{Check: "recovery", Level: admin.Fine,
		Text: fmt.Sprintf("any %d of %d shares open the keys without the root", s.Recovery.Needed, s.Recovery.Shares)})
}

func certificateFinding(listener string, left time.Duration) admin.Finding {
	const check = "certificate"
	const advice = "put a new one in its place: it is read within 10 seconds"
	days := int(left / (24 * time.Hour))
	switch {
	case left <= 0:
		return admin.Finding{Check: check, Level: admin.Wrong, Text: fmt.Sprintf("the certificate of the %s listener has expired", listener), Advice: advice}
	case left < expiresSoon:
		return admin.Finding{Check: check, Level: admin.Doubtful, Text: fmt.Sprintf("the certificate of the %s listener expires in %d days", listener, days), Advice: advice}
	}
	return admin.Finding{Check: check, Level: admin.Fine, Text: fmt.Sprintf("the certificate of the %s listener is good for %d days", listener, days)}
}

// behind is how old a record may be that a trail has not looked at.
const behind = 30 * time.Minute

func (o *operator) deliveryFindings(ctx context.Context) (found []admin.Finding, err error) {
	trails, err := o.delivery.Progress(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range trails {
		name := fmt.Sprintf("the trail %s of account %s in %s", t.Trail, t.Account, t.Region)
		switch {
		case t.Failing:
			found = append(found, admin.Finding{Check: "trail", Level: admin.Wrong, Text: name + " cannot be delivered", Advice: "aws cloudtrail get-trail-status --name " + t.Trail + "; the log has the bucket's own words"})
		case t.Lag > behind:
			found = append(found, admin.Finding{Check: "trail", Level: admin.Doubtful, Text: fmt.Sprintf("%s is %s behind", name, t.Lag.Round(time.Minute)), Advice: "aws cloudtrail get-trail-status --name " + t.Trail})
		default:
			found = append(found, admin.Finding{Check: "trail", Level: admin.Fine, Text: name + " is delivered"})
		}
	}
	sinks, err := o.ship.Progress(ctx)
	if err != nil {
		return nil, err
	}
	for _, sink := range sinks {
		if sink.Failing {
			found = append(found, admin.Finding{Check: "shipping", Level: admin.Wrong, Text: "audit records cannot be shipped to " + sink.Name, Advice: "the log says why"})
		} else {
			found = append(found, admin.Finding{Check: "shipping", Level: admin.Fine, Text: "audit records are shipped to " + sink.Name})
		}
	}
	if len(trails)+len(sinks) == 0 {
		found = append(found, admin.Finding{Check: "trail", Level: admin.Doubtful, Text: "the audit trail is kept in the data folder alone: whoever can write there can cut its end unseen",
			Advice: "make a trail (docs/operations.md, \"Delivery\"), or --audit-ship"})
	}
	return found, nil
}
