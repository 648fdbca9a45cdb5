package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/internal/service/kms"
)

// SettingError refuses a setting before anything is touched.
type SettingError struct {
	// Setting is the setting's name, as its flag without dashes: "tls-cert".
	Setting string
	// Problem says what is wrong with the value, and why.
	Problem string
	// Advice says what to do about it; it may be empty.
	Advice string
}

func (e *SettingError) Error() string { return e.Setting + ": " + e.Problem }

// Hint says what to do about it.
func (e *SettingError) Hint() string { return e.Advice }

func refuse(setting, advice, format string, args ...any) error {
	return &SettingError{Setting: setting, Problem: fmt.Sprintf(format, args...), Advice: advice}
}

// Validate checks what can be checked without making, changing or listening on
// anything; it reads the files of certificates and keys. Its error is a [*SettingError].
func (c Config) Validate() error {
	for _, check := range []func() error{c.checkNames, c.checkKinds, c.checkTLS, c.checkListen, c.checkShip, c.checkRetention, c.checkAttestation, c.checkSAML, c.checkXKS, c.checkMetrics} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// regionName is the shape that the regions of every AWS partition have: us-east-1,
// us-gov-west-1, eusc-de-east-1.
var regionName = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[1-9][0-9]?$`)

func (c Config) checkNames() error {
	if c.DataDir == "" || strings.ContainsRune(c.DataDir, 0) {
		return refuse("data", "", "%q is no folder's name", c.DataDir)
	}
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return refuse("account", "", "%q is not an account id: it has 12 digits", c.Account)
	}
	if len(c.Regions) == 0 {
		return refuse("regions", "name at least one, the default first: us-east-1,eu-west-1", "there is no region")
	}
	for i, region := range c.Regions {
		if !regionName.MatchString(region) {
			return refuse("regions", "names look like us-east-1, with commas between them", "%q is not the name of a region", region)
		}
		if slices.Contains(c.Regions[:i], region) {
			return refuse("regions", "", "%s is named twice", region)
		}
	}
	return nil
}

func (c Config) checkKinds() error {
	if err := c.Root.check(c.Seal); err != nil {
		return err
	}
	if err := c.folder().checkStore(); err != nil {
		return err
	}
	if _, err := kms.ParseLimits(c.Limits); err != nil {
		return refuse("limits", "for one: --limits aws,symmetric=500,111122223333/keys=1000", "%v", err)
	}
	if n := c.CachedKeys; n != 0 && (n < leastCachedKeys || n > mostCachedKeys) {
		return refuse("cached-keys", fmt.Sprintf("leave it out for %d", defaultCachedKeys), "%d is not a number of keys from %d to %d", n, leastCachedKeys, mostCachedKeys)
	}
	return nil
}

func (c Config) checkTLS() error {
	return checkPair("tls-cert", c.TLSCert, "tls-key", c.TLSKey)
}

func readSetting(setting, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(setting, path, err)
	}
	return data, nil
}

func unreadable(setting, path string, err error) error {
	advice := ""
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		advice = fmt.Sprintf("let the server's user (uid %d) read it; ls -l shows who may now", os.Getuid())
	}
	return refuse(setting, advice, "cannot read %s: %v", path, err)
}

func (c Config) checkListen() error {
	loopback, err := loopbackOnly(c.Listen)
	if err != nil {
		return refuse("listen", "an address looks like 127.0.0.1:4566, [::1]:4566 or 127.0.0.1:0", "%v", err)
	}
	if loopback {
		return nil
	}
	if c.Dev && !c.DevListenAny {
		return refuse("listen", "add --dev-listen-any if everyone who reaches this address may use the server, as in a container",
			"%s is not loopback, and a dev server knows no secrets: whoever reaches it owns it", c.Listen)
	}
	// A dev server's credentials are known to everyone, so that plain HTTP gives
	// away nothing which --dev-listen-any has not given away already.
	if c.TLSCert == "" && !c.InsecureHTTP && !c.Dev {
		return refuse("listen", "give --tls-cert and --tls-key; or --insecure-http, if something in front of it speaks TLS",
			"%s is not loopback, and plain HTTP would show plaintexts to the network", c.Listen)
	}
	return nil
}

// loopbackOnly parses a listen address. It takes addresses and "localhost", no
// other names: what they stand for can change between this check and the listening.
func loopbackOnly(listen string) (bool, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("%q is not an address and a port", listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("%q is not a port from 0 to 65535", port)
	}
	switch host {
	case "localhost":
		return true, nil
	case "":
		return false, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false, fmt.Errorf("%q is neither an IP address nor localhost", host)
	}
	return addr.Unmap().IsLoopback(), nil
}
