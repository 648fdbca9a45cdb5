package main

import (
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
)

// serveEmpty serves requests that cost nothing, over net/http or fasthttp. It
// says that it is ready as strongroom does.
func serveEmpty(kind string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready := func() { fmt.Printf("%s: ready on http://%s\n", kind, listener.Addr()) }
	switch kind {
	case "nethttp":
		ready()
		return http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the client sees what goes wrong
		}))
	case "fasthttp":
		ready()
		return fasthttp.Serve(listener, func(*fasthttp.RequestCtx) {}) // has read the body
	default:
		return fmt.Errorf("-serve %s: there is nethttp and fasthttp", kind)
	}
}
