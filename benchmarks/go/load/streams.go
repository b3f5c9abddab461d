package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// window says whether the figures are being taken.
type window struct{ open atomic.Bool }

// crowd is many streams that run side by side until they are told to go.
type crowd struct {
	plan   *plan
	order  string
	ctx    context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup
	window window
	failed *tally
	ready  chan struct{} // one for each stream that had its first event or failed
	inside atomic.Int64  // events within the window
	events atomic.Int64
	delays samples
	firsts samples
	pings  atomic.Int64
}

func newCrowd(p *plan, order string) *crowd {
	ctx, stop := context.WithCancel(context.Background())
	return &crowd{
		plan: p, order: order, ctx: ctx, stop: stop, failed: newTally(),
		ready: make(chan struct{}, p.Streams),
	}
}

// run is one client's life: until the crowd is stopped; an end before that is a failure.
func (c *crowd) run(number int, begin <-chan struct{}) {
	defer c.done.Done()
	told := false
	tell := func() {
		if !told {
			told = true
			c.ready <- struct{}{}
		}
	}
	defer tell()
	if begin != nil {
		<-begin
	}
	began := time.Now()
	who := caller{number, c.plan}
	conn, err := who.dial(c.ctx)
	if err != nil {
		c.fail(err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(c.ctx, func() { conn.SetDeadline(time.Now()) })()
	stream, err := who.open(c.ctx, conn, c.order)
	if err != nil {
		c.fail(err)
		return
	}
	c.firsts.add(int64(time.Since(began)))
	own := make([]int64, 0, 64)
	defer func() { c.delays.add(own...) }()
	stream.checker.OnToken = func(made int64) {
		c.events.Add(1)
		if c.window.open.Load() {
			c.inside.Add(1)
			own = append(own, stream.at-made)
		}
	}
	defer func() { c.pings.Add(int64(stream.checker.Comments)) }()
	for {
		n, err := stream.read()
		if n > 0 && stream.checker.Begun() {
			tell()
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *crowd) fail(err error) {
	if c.ctx.Err() == nil {
		c.failed.add(err)
	}
}

// start opens all streams, evenly or (openPerS = 0) all at one moment, and waits for each one's
// first event.
func (c *crowd) start(openPerS float64, patience time.Duration) error {
	begin := make(chan struct{})
	for number := range c.plan.Streams {
		c.done.Add(1)
		if openPerS > 0 {
			go c.run(number, nil)
			time.Sleep(time.Duration(float64(time.Second) / openPerS))
		} else {
			go c.run(number, begin)
		}
	}
	if openPerS == 0 {
		time.Sleep(200 * time.Millisecond) // All are at the line.
		close(begin)
	}
	limit := time.After(patience)
	for number := range c.plan.Streams {
		select {
		case <-c.ready:
		case <-limit:
			return fmt.Errorf("%d streams had no event after %s", c.plan.Streams-number, patience)
		}
	}
	return nil
}

func (c *crowd) end() {
	c.stop()
	c.done.Wait()
}

func (c *crowd) result() map[string]any {
	return map[string]any{
		"failures": c.failed.counts, "failure_examples": c.failed.first,
		"streams": c.plan.Streams, "events": c.inside.Load(), "events_all": c.events.Load(),
		"delay_ms": c.delays.quantiles(), "first_byte_ms": c.firsts.quantiles(),
		"comments": c.pings.Load(),
	}
}

func streams(p *plan) map[string]any {
	lasts := p.Seconds + p.SettleS + float64(p.Streams)/max(p.OpenPerS, 1) + 120
	c := newCrowd(p, fmt.Sprintf("events=0 rate=%g for=%g", p.Rate, lasts))
	late := c.start(p.OpenPerS, 90*time.Second)
	time.Sleep(time.Duration(p.SettleS * float64(time.Second)))
	say("steady", nil)
	c.window.open.Store(true)
	began, cpu := time.Now(), ownCPU()
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	c.window.open.Store(false)
	took, spent := time.Since(began).Seconds(), ownCPU()-cpu
	say("end", nil)
	c.end()
	result := c.result()
	result["window_s"], result["window_generator_cpu_s"] = took, spent
	if p.Singly {
		result["first_bytes_ms"] = c.firsts.sorted()
	}
	result["events_due"] = float64(p.Streams) * p.Rate * took
	if late != nil {
		result["late"] = late.Error()
	}
	return result
}

// storm opens all streams at one moment, and later leaves them all; the figures are when the last one
// had its first byte, and between the marks what the relay spends on both.
func storm(p *plan) map[string]any {
	c := newCrowd(p, fmt.Sprintf("events=0 rate=%g for=%g", p.Rate, p.Seconds+120))
	say("steady", nil)
	began := time.Now()
	late := c.start(0, 60*time.Second)
	took := time.Since(began).Seconds()
	say("end", nil)
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	say("leaving", nil)
	c.end()
	time.Sleep(time.Second) // For the relay to notice, and to let go of the core.
	say("left", nil)
	result := c.result()
	result["all_first_events_s"] = took
	if late != nil {
		result["late"] = late.Error()
	}
	return result
}
