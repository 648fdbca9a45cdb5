package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/strongroom/strongroom/internal/server"
)

// A setting is a flag whose field has a `setting` tag. It may also be given as an
// environment variable or, but for the config file's own name, as a line of the
// config file. The flag wins over the variable, the variable over the line.

// folder is in every command that needs a data folder.
type folder struct {
	Data   string `setting:"" default:"./strongroom-data" placeholder:"DIR" help:"The data folder. Default: ${default}."`
	Config string `setting:"" placeholder:"FILE" help:"A file of settings, one a line: name = value."`

	Store               string        `setting:"" default:"pebble" placeholder:"WHERE" help:"What holds the records: pebble, in the data folder, or a database of PostgreSQL that several nodes share, postgres://USER@HOST/DATABASE?sslmode=verify-full. Default: ${default}."`
	Lease               time.Duration `setting:"" default:"1m" placeholder:"TIME" help:"How long a node goes on answering by what it knows without its database. Default: ${default}."`
	StorePlainTransport bool          `setting:"" help:"Reach the database without TLS that verifies its certificate."`
	StoreNotDurable     bool          `setting:"" help:"Take a database whose settings let it lose what it acknowledged. For tests only."`

	Seal               string `setting:"" default:"file" placeholder:"KIND" help:"What holds the root of the keys: file, passphrase, aws-kms, pkcs11 or tpm. Default: ${default}."`
	SealPassphraseFile string `setting:"" placeholder:"FILE" help:"A file that holds the passphrase. Default: the variable STRONGROOM_SEAL_PASSPHRASE, or a question."`
	SealKMSKey         string `setting:"" name:"seal-kms-key" placeholder:"KEY" help:"The key of another KMS that holds the root: its id, alias or ARN."`
	SealKMSEndpoint    string `setting:"" name:"seal-kms-endpoint" placeholder:"URL" help:"That KMS. Default: AWS's own."`
	SealKMSRegion      string `setting:"" name:"seal-kms-region" placeholder:"REGION" help:"Its region. Default: that of the key's ARN, or of the AWS settings of this process."`
	SealTPMDevice      string `setting:"" name:"seal-tpm-device" placeholder:"PATH" help:"The TPM that holds the root: its device, or an emulator's socket. Default: /dev/tpmrm0."`
	SealTPMAuthFile    string `setting:"" name:"seal-tpm-auth-file" placeholder:"FILE" help:"A file that holds the auth value without which the TPM does not open the root. Default: there is none."`
	SealTPMPCRs        string `setting:"" name:"seal-tpm-pcrs" placeholder:"N,N" help:"The PCRs (SHA-256) whose values the TPM binds the root to when it is made; for a root that there is, those that it must be bound to. Default: none."`
	SealPKCS11Module   string `setting:"" name:"seal-pkcs11-module" placeholder:"FILE" help:"The PKCS #11 library of the HSM that holds the root."`
	SealPKCS11Token    string `setting:"" name:"seal-pkcs11-token" placeholder:"LABEL" help:"The token there, by its label."`
	SealPKCS11Serial   string `setting:"" name:"seal-pkcs11-serial" placeholder:"NUMBER" help:"The token's serial number, where its label is not the only one."`
	SealPKCS11PINFile  string `setting:"" name:"seal-pkcs11-pin-file" placeholder:"FILE" help:"A file that holds the PIN of the token's user."`
}

const envPrefix = "STRONGROOM_"

func envName(setting string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// origins says for each setting where its value has come from: "--listen",
// "STRONGROOM_LISTEN", "strongroom.conf line 3, listen".
type origins map[string]string

// explain says of an error about a setting where the value has come from.
func (o origins) explain(err error) error {
	var setting *server.SettingError
	if !errors.As(err, &setting) {
		return err
	}
	origin, ok := o[setting.Setting]
	if !ok {
		origin = "--" + setting.Setting // a default, or nothing at all
	}
	return &problem{what: origin + ": " + setting.Problem, hint: setting.Advice}
}

// describe is a flag's help text, with the variable that sets it.
func describe(value *kong.Value) string {
	if value.Flag == nil || !isSetting(value.Flag) {
		return value.Help
	}
	return value.Help + " ($" + envName(value.Name) + ")"
}

func isSetting(flag *kong.Flag) bool { return flag.Tag.Has("setting") }

// settle gives the flags of the selected command that the command line does not
// give the values that the environment and the config file have for them.
func (a *app) settle(ctx *kong.Context) error {
	a.origins = origins{}
	var flags []*kong.Flag
	for _, flag := range ctx.Flags() {
		if isSetting(flag) {
			flags = append(flags, flag)
		}
	}
	if len(flags) == 0 {
		return nil // This command has no settings, and no business with bad ones.
	}
	known, err := knownSettings(ctx.Model)
	if err != nil {
		return err
	}
	for _, step := range ctx.Path {
		if step.Flag != nil {
			a.origins[step.Flag.Name] = "--" + step.Flag.Name
		}
	}
	fromEnv, err := parseEnv(a.env, known)
	if err != nil {
		return err
	}
	for _, flag := range flags {
		if value, ok := fromEnv[flag.Name]; ok {
			if err := a.set(flag, value, envName(flag.Name)); err != nil {
				return err
			}
		}
	}
	config := ""
	for _, flag := range flags {
		if flag.Name == "config" {
			config = flag.Target.String()
		}
	}
	if config == "" {
		return nil
	}
	fromFile, err := readConfig(config, slices.DeleteFunc(known, func(name string) bool { return name == "config" }))
	if err != nil {
		return err
	}
	for _, flag := range flags {
		if line, ok := fromFile[flag.Name]; ok {
			if err := a.set(flag, line.value, fmt.Sprintf("%s line %d, %s", config, line.line, flag.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// set gives a flag its value unless something that comes first has given one.
func (a *app) set(flag *kong.Flag, value, origin string) error {
	if _, ok := a.origins[flag.Name]; ok {
		return nil
	}
	a.origins[flag.Name] = origin
	flag.Target.SetZero() // Parsing a list adds to what is there: the default.
	scanner := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: value})
	if err := flag.Parse(scanner, flag.Target); err != nil {
		return &problem{what: fmt.Sprintf("%s: %v", origin, err)}
	}
	return nil
}

// knownSettings are the names of all commands' settings.
func knownSettings(model *kong.Application) ([]string, error) {
	names := map[string]bool{}
	err := kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && isSetting(flag) {
			names[flag.Name] = true
		}
		return next(nil)
	})
	return slices.Sorted(maps.Keys(names)), err
}

// Kubernetes puts variables into every pod beside a Service whose name begins
// with "strongroom". They are not meant for us, and refusing them would keep
// Strongroom from starting next to its own Service.
var (
	serviceLink = regexp.MustCompile(`^STRONGROOM_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort = regexp.MustCompile(`^STRONGROOM_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://`)
)

// parseEnv picks the settings out of an environment. An empty variable is one
// that is not set: that is how a compose file leaves one out.
func parseEnv(env, known []string) (map[string]string, error) {
	names := map[string]string{}
	for _, setting := range known {
		names[envName(setting)] = setting
	}
	settings := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || serviceLink.MatchString(name) || servicePort.MatchString(entry) {
			continue
		}
		if name == passphraseVariable {
			continue // no setting: it is never on a command line or in a config file
		}
		setting, ok := names[name]
		if !ok {
			return nil, &problem{
				what: fmt.Sprintf("the environment variable %s sets nothing", name),
				hint: didYouMean(name, slices.Collect(maps.Keys(names))),
			}
		}
		if value != "" {
			settings[setting] = value
		}
	}
	return settings, nil
}

func readConfig(path string, known []string) (map[string]configLine, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &problem{what: fmt.Sprintf("the config file: %v", err)}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfigFile+1))
	if err != nil {
		return nil, &problem{what: fmt.Sprintf("the config file: %v", err)}
	}
	if len(text) > maxConfigFile {
		return nil, &problem{what: fmt.Sprintf("the config file %s is longer than %d bytes: it must be something else", path, maxConfigFile)}
	}
	settings, err := parseConfig(string(text), known)
	if err != nil {
		return nil, &problem{what: path + " " + err.Error(), hint: hintFor(err)}
	}
	return settings, nil
}
