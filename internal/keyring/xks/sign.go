package xks

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/strongroom/strongroom/internal/sigv4"
)

const (
	signingName   = "kms-xks-proxy"
	signedHeaders = "host;x-amz-date"
	basicFormat   = "20060102T150405Z"
)

// sign adds X-Amz-Date and Authorization (specification, appendix A). The path has
// nothing in it that is escaped or normalised.
func sign(req *http.Request, body []byte, at *Endpoint, now time.Time) {
	date := now.UTC().Format(basicFormat)
	scope := sigv4.Scope{Date: date[:8], Region: at.Region, Service: signingName}
	payload := sha256.Sum256(body)
	canonical := sha256.Sum256([]byte(req.Method + "\n" + req.URL.Path + "\n\n" +
		"host:" + req.URL.Host + "\nx-amz-date:" + date + "\n\n" + signedHeaders + "\n" + hex.EncodeToString(payload[:])))
	credential := scope.Date + "/" + scope.Region + "/" + scope.Service + "/aws4_request"
	toSign := sigv4.Algorithm + "\n" + date + "\n" + credential + "\n" + hex.EncodeToString(canonical[:])
	signature := sigv4.SigningKey(at.Credential.Secret, scope).AppendSignature(nil, []byte(toSign))
	req.Header.Set("X-Amz-Date", date)
	req.Header.Set("Authorization", sigv4.Algorithm+" Credential="+at.Credential.AccessKeyID+"/"+credential+
		", SignedHeaders="+signedHeaders+", Signature="+hex.EncodeToString(signature))
}
