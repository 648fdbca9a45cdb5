package trail

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/delivery"
)

// keyOf returns the ARN of the key that a trail is to be encrypted under, once
// CloudTrail has used it for the trail; "" is none.
func (s *Service) keyOf(ctx context.Context, t *delivery.Trail, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	arn, err := s.Keys.Try(ctx, t, key)
	var refused *awserr.Error
	if !errors.As(err, &refused) || refused.Fault == awserr.Server {
		return arn, err
	}
	switch refused.Code {
	case "NotFoundException":
		return "", api.KmsKeyNotFoundException("KMS key does not exist: " + key + ".")
	case "DisabledException":
		return "", api.KmsKeyDisabledException("KMS key is disabled: " + key + ".")
	case "AccessDeniedException":
		return "", api.InsufficientEncryptionPolicyException("Insufficient permissions to access S3 bucket " + t.Bucket + " or KMS key " + key + ".")
	case "ValidationException", "InvalidArnException":
		return "", api.InvalidKmsKeyIdException("Invalid KMS key id: " + key + ".")
	}
	return "", api.KmsException(refused.Code + ": " + refused.Message)
}
