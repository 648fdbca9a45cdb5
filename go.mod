module github.com/strongroom/strongroom

go 1.26.8

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/valyala/fasthttp v1.72.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/andybalholm/brotli v1.2.1 // indirect
	github.com/aws/smithy-go v1.28.8 // indirect
	github.com/klauspost/compress v1.18.6 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
)
