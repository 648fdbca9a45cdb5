package trail

import "github.com/strongroom/strongroom/internal/awserr"

// errorsIs reports whether err is the refusal of that code.
func errorsIs(err error, code string) bool { return err != nil && awserr.Code(err) == code }
