package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// churn opens streams and leaves each at a random moment of its life: before the head, between
// events, in the middle of one; half of them politely (FIN), half not (RST).
func churn(p *plan) map[string]any {
	failed := newTally()
	left := make([]int64, p.Total) // ns
	var next, headed, events atomic.Int64
	var workers sync.WaitGroup
	say("steady", nil)
	began := time.Now()
	for worker := range p.Streams {
		workers.Add(1)
		go func() {
			defer workers.Done()
			random := rand.New(rand.NewPCG(p.Seed, uint64(worker)))
			for number := int(next.Add(1)) - 1; number < p.Total; number = int(next.Add(1)) - 1 {
				life := time.Duration(random.Float64() * p.LifeMs * float64(time.Millisecond))
				tokens, ok, err := visit(p, number, life, random.IntN(2) == 0, &left[number])
				events.Add(int64(tokens))
				if ok {
					headed.Add(1)
				}
				if err != nil {
					failed.add(err)
				}
			}
		}()
	}
	workers.Wait()
	took := time.Since(began).Seconds()
	open := awaitNoneOpen(p, 10*time.Second)
	say("end", nil)
	result := map[string]any{
		"total": p.Total, "seconds": took, "headed": headed.Load(), "events": events.Load(),
		"failures": failed.counts, "failure_examples": failed.first, "core_open_after": open,
	}
	for name, value := range lags(p, left) {
		result[name] = value
	}
	return result
}

// visit is one short stay. Any end before the client leaves is a failure.
func visit(p *plan, number int, life time.Duration, polite bool, left *int64) (int, bool, error) {
	who := caller{number, p}
	conn, err := who.dial(context.Background())
	if err != nil {
		return 0, false, err
	}
	defer func() {
		if !polite {
			conn.tcp.SetLinger(0)
		}
		*left = time.Now().UnixNano()
		conn.Close()
	}()
	until := time.Now().Add(life)
	conn.SetDeadline(until)
	stream, err := who.open(context.Background(), conn, fmt.Sprintf("events=0 rate=%g for=60", p.Rate))
	if err != nil {
		return 0, false, unlessLeft(err, until)
	}
	for err == nil {
		_, err = stream.read()
	}
	return stream.checker.Tokens, true, unlessLeft(err, until)
}

func unlessLeft(err error, until time.Time) error {
	if kindOf(err) == "timeout" && !time.Now().Before(until) {
		return nil
	}
	return err
}

func awaitNoneOpen(p *plan, patience time.Duration) int64 {
	limit := time.Now().Add(patience)
	for {
		var counts map[string]int64
		if ask(p.Core+"/stats", &counts) == nil && counts["open"] == 0 || time.Now().After(limit) {
			return counts["open"]
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lags says how long after a client left the core saw it; one that left before the core was asked
// counts from when it was.
func lags(p *plan, left []int64) map[string]any {
	var seen map[string][2]int64
	if err := ask(p.Core+"/leaves", &seen); err != nil {
		return map[string]any{"core_failed": err.Error()}
	}
	var delays samples
	unseen, late := 0, 0
	for key, times := range seen {
		number, err := strconv.Atoi(key)
		if err != nil || number >= len(left) {
			continue
		}
		if times[1] == 0 {
			unseen++
			continue
		}
		lag := times[1] - max(left[number], times[0])
		if lag > int64(time.Second) {
			late++
		}
		delays.add(max(lag, 0))
	}
	return map[string]any{
		"core_opened": len(seen), "core_unseen": unseen, "core_later_than_1s": late,
		"leave_seen_ms": delays.quantiles(),
	}
}

func ask(url string, into any) error {
	answer, err := http.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(into)
}
