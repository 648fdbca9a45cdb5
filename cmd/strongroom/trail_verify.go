package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/strongroom/strongroom/internal/delivery"
)

type trailVerifyCmd struct {
	Folder     string   `arg:"" placeholder:"DIR" help:"The folder that trails were delivered to, or a copy of it."`
	PublicKeys []string `required:"" sep:"none" placeholder:"FILE" help:"What aws cloudtrail list-public-keys printed; once for each region."`
}

func (trailVerifyCmd) Help() string {
	return `Needs no server: the digests in the folder say which files there are, and the public keys that they are genuine. It exits 0 only if nothing that a digest names is missing or changed. That the newest digests were removed it cannot see.

What lies in a bucket of a server is checked by aws cloudtrail validate-logs.

Example:

    strongroom trail verify /srv/audit --public-keys keys.json`
}

// maxKeysFile bounds a file of public keys.
const maxKeysFile = 1 << 20

// Run implements the command.
func (c *trailVerifyCmd) Run(a *app) error {
	public := map[string][]byte{}
	for _, path := range c.PublicKeys {
		if err := readPublicKeys(path, public); err != nil {
			return err
		}
	}
	info, err := os.Stat(c.Folder)
	if err != nil || !info.IsDir() {
		return &problem{what: "there is no folder " + c.Folder}
	}
	found, err := delivery.VerifyFolder(os.DirFS(c.Folder), public)
	var fault *delivery.FaultError
	if errors.As(err, &fault) {
		return &problem{what: fault.Error(), hint: "keep the folder as it is, and compare it with the journal: strongroom audit export"}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%d digests and %d files are whole; %d files are in no digest yet; logging was stopped %d times\n",
		found.Digests, found.Files, found.Undigested, found.Gaps)
	return err
}

func readPublicKeys(path string, into map[string][]byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return &problem{what: fmt.Sprintf("the public keys: %v", err)}
	}
	if info.Size() > maxKeysFile {
		return &problem{what: path + " is too long for a list of public keys"}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return &problem{what: fmt.Sprintf("the public keys: %v", err)}
	}
	var list struct {
		PublicKeyList []struct {
			Value       []byte
			Fingerprint string
		}
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list.PublicKeyList) == 0 {
		return &problem{what: path + " holds no public keys", hint: "aws cloudtrail list-public-keys --start-time 2026-01-01T00:00:00Z >" + path}
	}
	for _, k := range list.PublicKeyList {
		into[k.Fingerprint] = k.Value
	}
	return nil
}
