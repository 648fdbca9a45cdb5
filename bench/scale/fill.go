package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/strongroom/strongroom/bench/load"
)

// fillWindow is how long one signature is used: less than the five minutes that it
// holds.
const fillWindow = 30 * time.Second

// fill makes keys with CreateKey, as a user would, until there are so many, and leaves
// their ids in a file: to list them all takes a while, and reads all of them.
func fill(ctx context.Context, s *server, keys int, file string) error {
	ids, err := readKeys(file)
	if errors.Is(err, fs.ErrNotExist) {
		ids, err = listKeys(ctx, s.signer)
	}
	if err != nil {
		return err
	}
	began, first := time.Now(), len(ids)
	for there := first; there < keys; {
		const connections = 128
		requests, err := several(connections, func(int) ([]byte, error) { return s.signer.Request("CreateKey", "{}") })
		if err != nil {
			return err
		}
		window := time.Second
		if rate := float64(there-first) / time.Since(began).Seconds(); rate > 0 {
			window = min(fillWindow, time.Duration(float64(keys-there)/rate*float64(time.Second))+time.Second/10)
		}
		result, err := load.Run(ctx, load.Config{Addr: s.Addr(), Requests: requests, Connections: connections, Duration: window})
		if err != nil {
			return err
		}
		there += result.Latency.Count()
		fmt.Printf("%d of %d keys made, %.0f a second\n", there, keys, float64(there-first)/time.Since(began).Seconds())
	}
	if first < keys {
		if ids, err = listKeys(ctx, s.signer); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(strings.Join(ids, "\n")), 0o600)
}

// readKeys returns the ids that fill has left.
func readKeys(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return strings.Split(string(text), "\n"), nil
}

// listKeys returns the ids of all keys.
func listKeys(ctx context.Context, signer *load.Signer) (ids []string, err error) {
	const limit = 1000
	for body := fmt.Sprintf(`{"Limit":%d}`, limit); ; {
		var page struct {
			Keys       []struct{ KeyID string }
			NextMarker string
			Truncated  bool
		}
		if err := signer.Call(ctx, "ListKeys", body, &page); err != nil {
			return nil, err
		}
		for _, k := range page.Keys {
			ids = append(ids, k.KeyID)
		}
		if !page.Truncated {
			return ids, nil
		}
		body = fmt.Sprintf(`{"Limit":%d,"Marker":%q}`, limit, page.NextMarker)
	}
}

// several returns n requests.
func several(n int, request func(i int) ([]byte, error)) (requests [][]byte, err error) {
	requests = make([][]byte, n)
	for i := range requests {
		if requests[i], err = request(i); err != nil {
			return nil, err
		}
	}
	return requests, nil
}
