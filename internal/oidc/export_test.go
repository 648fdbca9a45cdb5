package oidc

import "time"

// Patient gives issuers more time, for tests that are to pass on a slow machine.
func (v *Verifier) Patient() { v.fetchTime, v.otherTime = time.Minute, time.Minute }
