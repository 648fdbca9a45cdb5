// Package malloc bounds what the C library's malloc keeps of this process's memory.
// Pebble takes its blocks and memory tables from there when it is built with cgo.
package malloc
