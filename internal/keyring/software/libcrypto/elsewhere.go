//go:build strongroom_openssl && !(linux && cgo)

package libcrypto

var _ = theTagStrongroomOpensslTakesLinuxAndCGO_ENABLED_1
