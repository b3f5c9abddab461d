package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"benchmarks/events"
)

// unary sends small GETs, one after another on each of a few connections kept alive: as fast as they
// are answered, or at the plan's rate. The URL's "{id}" becomes the connection's own document id.
func unary(p *plan) map[string]any {
	failed := newTally()
	var window window
	var inside atomic.Int64
	var delays samples
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for number := range p.Streams {
		workers.Add(1)
		go func() {
			defer workers.Done()
			own, err := gets(caller{number, p}, &window, &inside, stop)
			delays.add(own...)
			if err != nil {
				failed.add(err)
			}
		}()
	}
	time.Sleep(time.Duration(p.SettleS * float64(time.Second)))
	say("steady", nil)
	window.open.Store(true)
	began, cpu := time.Now(), ownCPU()
	time.Sleep(time.Duration(p.Seconds * float64(time.Second)))
	window.open.Store(false)
	took, spent := time.Since(began).Seconds(), ownCPU()-cpu
	say("end", nil)
	close(stop)
	workers.Wait()
	return map[string]any{
		"requests": inside.Load(), "window_s": took, "delay_ms": delays.quantiles(),
		"failures": failed.counts, "failure_examples": failed.first,
		"window_generator_cpu_s": spent,
	}
}

func gets(who caller, window *window, inside *atomic.Int64, stop <-chan struct{}) ([]int64, error) {
	id := fmt.Sprintf("0190a000-0000-7000-8000-%012d", who.number)
	path := string(bytes.ReplaceAll([]byte(who.plan.path), []byte("%7Bid%7D"), []byte(id)))
	request := []byte(who.head("GET", path, ""))
	conn, err := who.dial(context.Background())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var first []byte
	var delays []int64
	pace, end := beats(who.plan.Rate)
	defer end()
	for {
		select {
		case <-stop:
			return delays, nil
		case <-pace:
		}
		began := time.Now()
		body, err := get(conn, reader, request)
		if err != nil {
			return delays, err
		}
		if window.open.Load() {
			inside.Add(1)
			delays = append(delays, int64(time.Since(began)))
		}
		if first == nil {
			first = body
			if bytes.Contains([]byte(path), []byte(id)) && !bytes.Contains(body, []byte(id)) {
				return delays, fmt.Errorf("%w: no %s in %q", events.ErrBytes, id, body)
			}
		}
		if !bytes.Equal(first, body) {
			return delays, fmt.Errorf("%w: %q instead of %q", events.ErrBytes, body, first)
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

func get(conn net.Conn, reader *bufio.Reader, request []byte) ([]byte, error) {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response)
	}
	return io.ReadAll(response.Body)
}
