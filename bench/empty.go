package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/valyala/fasthttp"
)

// serveEmpty serves requests that cost nothing, over net/http or fasthttp: it reads
// them and answers with so many bytes. It says that it is ready as strongroom does.
func serveEmpty(kind string, reply int, cert, key string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("x"), reply)
	ready := func(scheme string) { fmt.Printf("%s: ready on %s://%s\n", kind, scheme, listener.Addr()) }
	switch kind {
	case "nethttp":
		length := strconv.Itoa(reply)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the client sees what goes wrong
			if reply > 0 {
				w.Header().Set("Content-Length", length)
				_, _ = w.Write(body)
			}
		})
		if cert != "" {
			ready("https")
			return http.ServeTLS(listener, handler, cert, key)
		}
		ready("http")
		return http.Serve(listener, handler)
	case "fasthttp":
		ready("http")
		return fasthttp.Serve(listener, func(ctx *fasthttp.RequestCtx) { // has read the body
			ctx.Response.SetBodyRaw(body)
		})
	default:
		return fmt.Errorf("-serve %s: there is nethttp and fasthttp", kind)
	}
}
