package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkEmpty compares the front with nothing behind it to net/http with
// nothing behind it, over as many connections as there are CPUs.
func BenchmarkEmpty(b *testing.B) {
	b.Run("front", func(b *testing.B) {
		addr, _ := start(b, Config{Handler: ok})
		load(b, addr)
	})
	b.Run("net/http", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				b.Error(err)
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.Header().Set("x-amzn-RequestId", "7a6e1d2c")
			fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n)
		})}
		go server.Serve(ln)
		b.Cleanup(func() { server.Close() })
		load(b, ln.Addr().String())
	})
}

func load(b *testing.B, addr string) {
	body := strings.Repeat("x", 128)
	raw := []byte("POST / HTTP/1.1\r\nHost: kms.eu-central-1.amazonaws.com\r\nUser-Agent: aws-sdk-go-v2/1.47.7 os/linux lang/go\r\n" +
		"Accept-Encoding: identity\r\nX-Amz-Date: 20260314T150926Z\r\nX-Amz-Target: TrentService.Encrypt\r\n" +
		"Content-Type: application/x-amz-json-1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260314/eu-central-1/kms/aws4_request, " +
		"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=" + strings.Repeat("0", 64) + "\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		for pb.Next() {
			if _, err := c.Write(raw); err != nil {
				b.Error(err)
				return
			}
			if err := readSmall(r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// readSmall reads an answer with as little work as will do, so that the client is
// not what is measured.
func readSmall(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if value, ok := strings.CutPrefix(view(line), "Content-Length: "); ok {
			for i := 0; value[i] >= '0' && value[i] <= '9'; i++ {
				length = length*10 + int(value[i]-'0')
			}
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
	}
}
