package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// slow asks the core for as much as it can send, and takes a trickle of it.
func slow(p *plan) map[string]any {
	failed := newTally()
	var taken atomic.Int64
	var clients sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	order := fmt.Sprintf("events=%d rate=0 for=%g", 1<<30/120, p.Seconds+120)
	opened := make(chan struct{}, p.Streams)
	for number := range p.Streams {
		clients.Add(1)
		go func() {
			defer clients.Done()
			if err := trickle(ctx, caller{number, p}, order, &taken, opened); err != nil && ctx.Err() == nil {
				failed.add(err)
			}
		}()
	}
	for range p.Streams {
		<-opened
	}
	say("steady", nil)
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	say("end", nil)
	early := failed.total()
	stop()
	clients.Wait()
	return map[string]any{
		"streams": p.Streams, "bytes": taken.Load(), "ended_early": early,
		"failures": failed.counts, "failure_examples": failed.first,
	}
}

func trickle(
	ctx context.Context, who caller, order string, taken *atomic.Int64, opened chan<- struct{},
) error {
	told := sync.OnceFunc(func() { opened <- struct{}{} })
	defer told()
	conn, err := who.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := who.open(ctx, conn, order)
	if err != nil {
		return err
	}
	told()
	stream.buffer = stream.buffer[:min(who.plan.ReadBytesS, len(stream.buffer))]
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		n, err := stream.read()
		taken.Add(int64(n))
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
		}
	}
}
