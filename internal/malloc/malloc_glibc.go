//go:build cgo && linux

package malloc

/*
#include <malloc.h>

static void strongroom_bound_malloc(void) {
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}
*/
import "C"

// Bound has the GNU C library share two arenas among all threads, where it would make
// up to eight for each processor, each of which keeps what is free between its blocks;
// and give back each MiB or more as soon as it is freed (mallopt(3)). Other libraries
// are left alone. It is for the start of a process, before malloc is much used.
func Bound() { C.strongroom_bound_malloc() }
