package cloudhsm

import (
	"crypto/rand"
	"testing"
)

// FuzzCheckCertificates: whatever is given for certificates is refused, unless it is
// the one pair that answers the cluster's request.
func FuzzCheckCertificates(f *testing.F) {
	s := &Service{Config: Config{Rand: rand.Reader}}
	request, err := s.certificateRequest("cluster-abcdefghijk")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "")
	f.Add(request, request)
	f.Add("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, signed, anchor string) {
		certificate, issuer, err := checkCertificates(&clusterRecord{ID: "cluster-abcdefghijk", Request: request}, signed, anchor)
		if err == nil || certificate != "" || issuer != "" {
			t.Fatalf("%q and %q are taken", signed, anchor)
		}
	})
}
