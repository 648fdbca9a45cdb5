//go:build cgo && linux

package malloc

import "C" // bound.c
