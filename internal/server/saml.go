package server

import (
	"net/url"
	"strings"
)

// checkSAML checks the audiences of SAML responses: URIs, of which one at least is where
// a provider can be told to deliver responses to.
func (c Config) checkSAML() error {
	const setting = "saml-audience"
	const advice = "name the recipient, as https://kms.example.com/saml, and the audience, if that is another one"
	recipient := false
	for _, audience := range c.SAMLAudiences {
		u, err := url.Parse(audience)
		if err != nil || u.Scheme == "" || strings.TrimSpace(audience) != audience {
			return refuse(setting, advice, "%q is no URI", audience)
		}
		recipient = recipient || u.Scheme == "https" && u.Host != ""
	}
	if len(c.SAMLAudiences) > 0 && !recipient {
		return refuse(setting, advice, "none of them is an https:// URL, as a recipient is")
	}
	return nil
}
