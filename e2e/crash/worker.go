package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/strongroom/strongroom/e2e/binary"
)

// errGone is a call that was not answered, or with 503, which says that the disk
// let the server wait too long: done or not, nobody knows.
var errGone = errors.New("the call was not answered")

// counter is told each acknowledged call.
type counter func(operation, requestID string)

// errUnavailable is a 503.
var errUnavailable = errors.New("503")

// client is a client of the server's services.
type client struct {
	*kms.Client                        // in the first of regions
	in          map[string]*kms.Client // by Region
	identities  *identities
}

// newClient returns a client of the server that tells count about each
// answer, refusals too. It does not retry: a retry could do a thing twice that
// the ledger has once. [patient] makes one of it for calls that change nothing.
func newClient(s *binary.Server, count counter) (*client, error) {
	id, secret, err := binary.Credentials(s.Data)
	if err != nil {
		return nil, err
	}
	watch := middleware.InitializeMiddlewareFunc("CountAnswers", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleInitialize(ctx, in)
		requestID, _ := awsmiddleware.GetRequestIDMetadata(metadata)
		if refusal := (*awshttp.ResponseError)(nil); errors.As(err, &refusal) {
			requestID = refusal.ServiceRequestID()
			if unavailable(err) {
				return out, metadata, err // an answer that needs no record
			}
		}
		if requestID != "" {
			count(awsmiddleware.GetOperationName(ctx), requestID)
		} else if err == nil {
			err = errors.New("an answer without a request id")
		}
		return out, metadata, err
	})
	options := kms.Options{
		BaseEndpoint: aws.String(s.URL),
		Retryer:      aws.NopRetryer{},
		Credentials:  credentials.NewStaticCredentialsProvider(id, secret, ""),
		APIOptions: []func(*middleware.Stack) error{func(stack *middleware.Stack) error {
			return stack.Initialize.Add(watch, middleware.After)
		}},
	}
	return inRegions(options, &identities{url: s.URL, credentials: aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, count: count}), nil
}

// inRegions makes a client of its parts.
func inRegions(options kms.Options, i *identities) *client {
	c := &client{in: map[string]*kms.Client{}, identities: i}
	for _, region := range regions {
		options.Region = region
		c.in[region] = kms.New(options)
	}
	c.Client = c.in[regions[0]]
	return c
}

// patient returns a client that makes calls again that were answered with 503.
func patient(c *client) *client {
	options := c.Options()
	options.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 10
		o.RateLimiter = ratelimit.None
		o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary { return aws.BoolTernary(unavailable(err)) })}
	})
	asking := *c.identities
	asking.patient = true
	return inRegions(options, &asking)
}

// unavailable reports whether err is the answer that says so.
func unavailable(err error) bool {
	var refusal smithy.APIError
	return errors.Is(err, errUnavailable) || errors.As(err, &refusal) && refusal.ErrorCode() == "ServiceUnavailableException"
}

// worker is one client of the server with keys and aliases of its own, so that
// what it was told last is what must be there.
type worker struct {
	id      int
	choices *rand.Rand
	serial  int // makes each value it writes another

	keys     []*key
	creating *key              // a key whose creation was not answered, until a check has looked for it
	aliases  map[string]*value // name → bare key id, "" for none
	blobs    []*blob
	multi    multiKey
	person   person
	checked  int // blobs before this one were decrypted after a restart

	external                 *key // that of keys with imported material, if any
	adopted, grants, imports int  // for the report
}

// blob is a ciphertext that was acknowledged.
type blob struct {
	key                   *key
	ciphertext, plaintext []byte
	encryptionContext     map[string]string
}

func newWorker(id int, choices *rand.Rand) *worker {
	return &worker{id: id, choices: choices, aliases: map[string]*value{}, multi: multiKey{primary: value{acknowledged: regions[0]}}, person: person{name: fmt.Sprintf("worker-%d", id)}}
}

// work calls the server until a call is not answered, which is errGone, or is
// answered with an error. After a 503 the worker waits for the next restart too:
// what it asked for may come late.
func (w *worker) work(ctx context.Context, c *client) error {
	for {
		if err := w.step(ctx, c); err != nil {
			return err
		}
	}
}

// step makes one call, or the two that an import takes.
func (w *worker) step(ctx context.Context, c *client) error {
	if len(w.keys) == 0 {
		return w.createKey(ctx, c)
	}
	k := w.keys[w.choices.IntN(len(w.keys))]
	if w.external != nil && w.choices.IntN(4) == 0 {
		if k = w.external; w.choices.IntN(2) == 0 {
			return w.changeMaterial(ctx, c, k)
		}
	}
	if w.choices.IntN(10) == 0 {
		return w.person.step(ctx, c.identities, w.choices.IntN(6), fmt.Sprintf("S%d", w.choices.Uint32()))
	}
	if w.id < mostMultiRegion && w.choices.IntN(8) == 0 {
		return w.stepMulti(ctx, c)
	}
	if k.is(types.KeyStatePendingDeletion) {
		return k.keep(ctx, c)
	}
	switch n := w.choices.IntN(100); {
	case n < 10:
		return w.createKey(ctx, c)
	case n < 40 && k.is(types.KeyStateEnabled):
		return w.encrypt(ctx, c, k)
	case n < 55:
		return w.changeAlias(ctx, c, k)
	case n < 70:
		return w.changeGrant(ctx, c, k)
	case n < 76 && k.rotates():
		return k.rotate(ctx, c)
	case n < 84 && k.material == nil:
		return k.switchOver(ctx, c, w.choices.IntN(4) == 0)
	case n < 89:
		return k.retag(ctx, c, w.next("tag"))
	case n < 94:
		return k.describe(ctx, c, w.next("description"))
	default:
		return k.protect(ctx, c, policy(w.next("policy")))
	}
}

// next returns a value that was never written before.
func (w *worker) next(what string) string {
	w.serial++
	return fmt.Sprintf("%s %d of worker %d", what, w.serial, w.id)
}

// policy returns a key policy that differs from others by its Id, in the layout
// in which KMS gives policies back.
func policy(id string) string {
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : %q,
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::000000000000:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`, id)
}

// createKey creates a key, now and then one whose material is to be imported.
func (w *worker) createKey(ctx context.Context, c *client) error {
	k := &key{
		description: value{acknowledged: w.next("description")}, policy: value{acknowledged: policy(w.next("policy"))},
		state: value{acknowledged: string(types.KeyStateEnabled)}, rotations: value{acknowledged: "0"}, grants: map[string]*grant{},
	}
	in := &kms.CreateKeyInput{Description: &k.description.acknowledged, Policy: &k.policy.acknowledged}
	if w.id < mostExternal && w.external == nil && w.choices.IntN(2) == 0 {
		k.material = w.newMaterial()
		k.state.acknowledged = string(types.KeyStatePendingImport)
		in.Origin = types.OriginTypeExternal
	}
	w.creating = k
	out, err := c.CreateKey(ctx, in)
	if err := answered("CreateKey", err); err != nil {
		return err
	}
	w.adopt(k, *out.KeyMetadata.KeyId, *out.KeyMetadata.Arn)
	return nil
}

// adopt takes a key that is there into the ledger.
func (w *worker) adopt(k *key, id, arn string) {
	w.creating = nil
	k.id, k.arn = id, arn
	w.keys = append(w.keys, k)
	if k.material != nil {
		w.external = k
	}
}

func (w *worker) encrypt(ctx context.Context, c *client, k *key) error {
	b := &blob{key: k, plaintext: []byte(w.next("plaintext"))}
	if w.choices.IntN(2) == 0 {
		b.encryptionContext = map[string]string{"worker": fmt.Sprint(w.id)}
	}
	out, err := c.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.id, Plaintext: b.plaintext, EncryptionContext: b.encryptionContext})
	if err := answered("Encrypt", err); err != nil {
		return err
	}
	b.ciphertext = out.CiphertextBlob
	w.blobs = append(w.blobs, b)
	return nil
}

// changeAlias creates one of the worker's aliases, points it to k, or deletes it.
func (w *worker) changeAlias(ctx context.Context, c *client, k *key) error {
	name := fmt.Sprintf("alias/worker-%d/%d", w.id, w.choices.IntN(20))
	v := w.aliases[name]
	if v == nil {
		v = &value{}
		w.aliases[name] = v
	}
	switch {
	case v.acknowledged == "":
		return change(v, k.id, func() error {
			_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &k.id})
			return answered("CreateAlias", err)
		})
	case w.choices.IntN(3) == 0:
		return change(v, "", func() error {
			_, err := c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: &name})
			return answered("DeleteAlias", err)
		})
	default:
		return change(v, k.id, func() error {
			_, err := c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &k.id})
			return answered("UpdateAlias", err)
		})
	}
}

// answered sorts out how a call went: nil when it succeeded, an error when the
// server refused, which no call of a worker gives it reason to, and errGone when
// there was no answer that says.
func answered(operation string, err error) error {
	if refusal := smithy.APIError(nil); errors.As(err, &refusal) && !unavailable(err) {
		return fmt.Errorf("%s was refused: %w", operation, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", operation, errGone, err)
	}
	return nil
}
