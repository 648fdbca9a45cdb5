//go:build cgo && linux

#include <malloc.h>
#include <stdlib.h>

// Threads get their arena from the first of malloc's functions that they call, which is
// before any Go runs: hence a constructor. Whoever sets malloc up by the environment
// has the say.
__attribute__((constructor)) static void strongroom_bound_malloc(void) {
#ifdef M_ARENA_MAX
	if (getenv("MALLOC_ARENA_MAX") || getenv("MALLOC_MMAP_THRESHOLD_") || getenv("GLIBC_TUNABLES"))
		return;
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}
