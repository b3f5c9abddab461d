package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"benchmarks/events"
)

// asks puts the same question one time after another on each of a few connections kept alive, so that
// its answer may be one that was kept. The plan's order says what the core is to answer; with `whole`
// the answer is one JSON document.
func asks(p *plan) map[string]any { return takeTurns(p, questions) }

func questions(who caller, state *turns) ([]int64, error) {
	order := fmt.Sprintf("id=%d %s", who.number, who.plan.Order)
	body := fmt.Sprintf(`{"query":%q,"stream":%t}`, order, !who.plan.Whole)
	request := []byte(who.head("POST", who.plan.path, body))
	return state.ask(who, request, func(_ http.Header, body []byte) error {
		if who.plan.Whole {
			if !bytes.Contains(body, []byte(`"finish_reason"`)) {
				return fmt.Errorf("%w: %q", events.ErrBytes, body)
			}
			return nil
		}
		checker := events.Checker{Shape: events.First, Stream: who.number}
		if err := checker.Feed(body); err != nil {
			return err
		}
		if !checker.Done {
			return errors.New("ended early")
		}
		return nil
	})
}
