// Command restore measures how long backups take: it makes keys on a server, takes a
// backup of it while it runs, verifies the backup and restores it into an empty
// folder, with the built binary. With a database it also moves what was restored into
// that, which must be empty, and back.
//
//	go run ./bench/restore -keys 100000
//	go run ./bench/restore -keys 100000 -database 'postgres:///bench?host=/run/postgresql'
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

func main() {
	keys := flag.Int64("keys", 20_000, "how many keys")
	database := flag.String("database", "", "the URL of an empty database to copy into")
	flag.Parse()
	dir, err := os.MkdirTemp("", "strongroom-restore-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := run(context.Background(), dir, *keys, *database); err != nil {
		log.Print(err)
	}
}

func run(ctx context.Context, dir string, keys int64, database string) error {
	executable, err := binary.Build(dir, nil)
	if err != nil {
		return err
	}
	s, err := binary.Start(binary.Config{Path: executable, Data: filepath.Join(dir, "data")})
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	took, err := timed(func() error { return fill(ctx, s, keys) })
	if err != nil {
		return err
	}
	fmt.Printf("%d keys made in %v\n", keys, took)
	file, root := filepath.Join(dir, "backup"), filepath.Join(s.Data, "root.key")
	for _, args := range [][]string{
		{"create", file, "--data", s.Data},
		{"verify", file, "--root", root},
		{"restore", file, "--root", root, "--data", filepath.Join(dir, "restored"), "--allow-undone-revocations"},
		{"restore", file, "--root", root, "--data", filepath.Join(dir, "disabled")},
	} {
		took, err := timed(func() error {
			result, err := binary.Run(executable, append([]string{"backup"}, args...)...)
			if err == nil && result.Code != 0 {
				err = fmt.Errorf("%s", result.Stderr)
			}
			return err
		})
		if err != nil {
			return err
		}
		what := args[0]
		if what == "restore" && len(args) == 6 {
			what += ", keys disabled"
		}
		fmt.Printf("backup %s: %v, %v per million keys\n", what, took, (took * 1_000_000 / time.Duration(keys)).Round(time.Second))
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	fmt.Printf("the file has %d bytes a key\n", info.Size()/keys)
	if database == "" {
		return nil
	}
	for _, args := range [][]string{{"--to", database}, {"--store", database, "--to", "pebble"}} {
		cpu := childrenCPU()
		took, err := timed(func() error {
			result, err := binary.Run(executable, append([]string{"store", "copy", "--data", filepath.Join(dir, "restored")}, args...)...)
			if err == nil && result.Code != 0 {
				err = fmt.Errorf("%s", result.Stderr)
			}
			if err == nil {
				fmt.Printf("%s", result.Stdout)
			}
			return err
		})
		if err != nil {
			return err
		}
		fmt.Printf("store copy %s: %v, %v per million keys; processor time without the database's %v\n", args[0], took,
			(took * 1_000_000 / time.Duration(keys)).Round(time.Second), childrenCPU()-cpu)
	}
	return nil
}

// childrenCPU is the processor time of the commands that have ended.
func childrenCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return 0
	}
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Round(10 * time.Millisecond)
}

func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began).Round(10 * time.Millisecond), err
}

// fill makes keys, 32 at a time.
func fill(ctx context.Context, s *binary.Server, keys int64) error {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), config.WithBaseEndpoint(s.URL),
		config.WithSharedCredentialsFiles([]string{binary.CredentialsFile(s.Data)}))
	if err != nil {
		return err
	}
	client := kms.NewFromConfig(cfg, func(o *kms.Options) { o.RetryMaxAttempts = 1 })
	var left atomic.Int64
	left.Store(keys)
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for left.Add(-1) >= 0 && failed.Load() == nil {
				if _, err := client.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String("one of many")}); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
