package binary

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// CredentialsFile returns the path of the AWS shared-credentials file that a
// production server leaves in its data folder.
func CredentialsFile(data string) string { return filepath.Join(data, "credentials") }

// Credentials reads the access key of the default profile from the data folder's
// credentials file.
func Credentials(data string) (accessKeyID, secretAccessKey string, err error) {
	text, err := os.ReadFile(CredentialsFile(data))
	if err != nil {
		return "", "", err
	}
	profile := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			profile = strings.Trim(line, "[]")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if profile != "default" {
			continue
		}
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			accessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			secretAccessKey = strings.TrimSpace(value)
		}
	}
	if accessKeyID == "" || secretAccessKey == "" {
		return "", "", fmt.Errorf("%s holds no access key in the profile \"default\"", CredentialsFile(data))
	}
	return accessKeyID, secretAccessKey, nil
}
