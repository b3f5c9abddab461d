package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"benchmarks/events"
)

// unary sends small GETs, one after another on each of a few connections kept alive: as fast as they
// are answered, or at the plan's rate. The URL's "{id}" becomes the connection's own document id.
func unary(p *plan) map[string]any { return takeTurns(p, gets) }

// turns is what a load of one request after another counts while its window is open.
type turns struct {
	window       window
	inside, kept atomic.Int64
	stop         chan struct{}
}

// takeTurns has each client do its `work` until the measured window is over.
func takeTurns(p *plan, work func(caller, *turns) ([]int64, error)) map[string]any {
	failed := newTally()
	state := turns{stop: make(chan struct{})}
	var delays samples
	var workers sync.WaitGroup
	for number := range p.Streams {
		workers.Add(1)
		go func() {
			defer workers.Done()
			own, err := work(caller{number, p}, &state)
			delays.add(own...)
			if err != nil {
				failed.add(err)
			}
		}()
	}
	time.Sleep(time.Duration(p.SettleS * float64(time.Second)))
	say("steady", nil)
	state.window.open.Store(true)
	began, cpu := time.Now(), ownCPU()
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	state.window.open.Store(false)
	took, spent := time.Since(began).Seconds(), ownCPU()-cpu
	say("end", nil)
	close(state.stop)
	workers.Wait()
	return map[string]any{
		"requests": state.inside.Load(), "kept": state.kept.Load(),
		"window_s": took, "delay_ms": delays.quantiles(),
		"failures": failed.counts, "failure_examples": failed.first,
		"window_generator_cpu_s": spent,
	}
}

func gets(who caller, state *turns) ([]int64, error) {
	id := fmt.Sprintf("0190a000-0000-7000-8000-%012d", who.number)
	path := string(bytes.ReplaceAll([]byte(who.plan.path), []byte("%7Bid%7D"), []byte(id)))
	request := []byte(who.head("GET", path, ""))
	var first []byte
	return state.ask(who, request, func(_ http.Header, body []byte) error {
		if first == nil {
			first = body
			if bytes.Contains([]byte(path), []byte(id)) && !bytes.Contains(body, []byte(id)) {
				return fmt.Errorf("%w: no %s in %q", events.ErrBytes, id, body)
			}
		}
		if !bytes.Equal(first, body) {
			return fmt.Errorf("%w: %q instead of %q", events.ErrBytes, body, first)
		}
		return nil
	})
}

// ask sends `request` again and again, and has each whole answer looked at.
func (t *turns) ask(
	who caller, request []byte, look func(http.Header, []byte) error,
) ([]int64, error) {
	conn, err := who.dial(context.Background())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var delays []int64
	pace, end := beats(who.plan.Rate)
	defer end()
	for {
		select {
		case <-t.stop:
			return delays, nil
		case <-pace:
		}
		began := time.Now()
		head, body, err := exchange(conn, reader, request)
		if err != nil {
			return delays, err
		}
		if t.window.open.Load() {
			t.inside.Add(1)
			if strings.Contains(head.Get("Cache-Status"), "; hit") {
				t.kept.Add(1)
			}
			delays = append(delays, int64(time.Since(began)))
		}
		if err := look(head, body); err != nil {
			return delays, err
		}
	}
}

// beats gives a channel that is ready so many times a second; with a rate of 0 it always is.
func beats(rate float64) (<-chan time.Time, func()) {
	if rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
		return ticker.C, ticker.Stop
	}
	always := make(chan time.Time)
	close(always)
	return always, func() {}
}

func exchange(
	conn net.Conn, reader *bufio.Reader, request []byte,
) (http.Header, []byte, error) {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(request); err != nil {
		return nil, nil, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, refusal(response)
	}
	body, err := io.ReadAll(response.Body)
	return response.Header, body, err
}
