module github.com/strongroom/strongroom

go 1.26.8

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	pgregory.net/rapid v1.3.0
)

require github.com/aws/smithy-go v1.28.8 // indirect
