#!/bin/sh
# Fetches AWS's signing test suite again, out of the crate that republishes it, and
# puts it beside this script. Needs cargo. Usage: ./refresh.sh [VERSION]
set -eu
version=${1:-1.6.4}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name fetch .
cargo add --quiet "aws-sigv4@=$version"
cargo vendor --quiet vendor >/dev/null
suite=vendor/aws-sigv4/aws-signing-test-suite/v4
rm -rf "$here/aws-signing-test-suite"
for context in "$suite"/*/context.json; do
	name=$(basename "$(dirname "$context")")
	mkdir -p "$here/aws-signing-test-suite/$name"
	for file in context.json \
		header-canonical-request.txt header-string-to-sign.txt header-signed-request.txt \
		query-canonical-request.txt query-string-to-sign.txt query-signed-request.txt; do
		cp "$suite/$name/$file" "$here/aws-signing-test-suite/$name/"
	done
done
cp vendor/aws-sigv4/LICENSE "$here/aws-signing-test-suite/LICENSE"
