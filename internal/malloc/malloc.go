// Package malloc bounds what the C library's malloc keeps of this process's memory, in
// programs that import it. Pebble takes its blocks and memory tables from there when it
// is built with cgo.
//
// The GNU C library has all threads share two arenas then, where it would make up to
// eight for each processor, each of which keeps what is free between its blocks; and
// blocks of a MiB and more, as memory tables are, go back to the system as soon as they
// are freed (mallopt(3)). Other libraries are left alone, and so is one that the
// environment sets up: MALLOC_ARENA_MAX, MALLOC_MMAP_THRESHOLD_ or GLIBC_TUNABLES.
package malloc
