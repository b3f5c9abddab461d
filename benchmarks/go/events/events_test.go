package events

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func answer(shape Shape, stream, tokens int) []byte {
	all := []byte(shape.With(Meta(stream)))
	for number := range tokens {
		all = shape.AppendToken(all, stream, number, 1_700_000_000_000_000_000+int64(number))
	}
	return append(append(all, shape.With(Usage)...), shape.With(Done)...)
}

// every gives all shapes, with payloads of several sizes.
func every(t *testing.T, test func(t *testing.T, shape Shape)) {
	for name := range Shapes {
		for _, payload := range []int{0, 20, 120, 4096} {
			shape, _ := Named(name, payload)
			t.Run(fmt.Sprint(name, payload), func(t *testing.T) { test(t, shape) })
		}
	}
}

func TestTokenHasItsSize(t *testing.T) {
	for payload, size := range map[int]int{0: Size, 20: 41, 120: 141, 4096: 4117} {
		shape, _ := Named("first", payload)
		token := shape.AppendToken(nil, 123456, 9999999, 1_700_000_000_000_000_000)
		if len(token) != size {
			t.Fatalf("%d bytes", len(token))
		}
	}
}

func TestAnyCutOfAnAnswerIsAccepted(t *testing.T) {
	every(t, func(t *testing.T, shape Shape) {
		whole := answer(shape, 7, 3)
		for size := 1; size <= len(whole); size += 1 + size/50 {
			checker := Checker{Shape: shape, Stream: 7}
			for rest := whole; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				if err := checker.Feed(rest[:min(size, len(rest))]); err != nil {
					t.Fatal(size, err)
				}
			}
			if !checker.Done || checker.Tokens != 3 {
				t.Fatal(size, checker.Tokens)
			}
		}
	})
}

func TestTheTimeOfAnEventIsRead(t *testing.T) {
	every(t, func(t *testing.T, shape Shape) {
		times := []int64{}
		checker := Checker{Shape: shape, Stream: 7, OnToken: func(made int64) { times = append(times, made) }}
		if err := checker.Feed(answer(shape, 7, 2)); err != nil {
			t.Fatal(err)
		}
		if len(times) != 2 || times[1] != 1_700_000_000_000_000_001 {
			t.Fatal(times)
		}
	})
}

func TestAnyChangedByteIsRefusedOrLeavesTheAnswerOpen(t *testing.T) {
	whole := answer(First, 7, 2)
	for at := range whole {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 1
		checker := Checker{Shape: First, Stream: 7}
		err := checker.Feed(bad)
		if err == nil && checker.Done && !isTime(whole, at) {
			t.Fatalf("byte %d (%q) changed and nobody noticed", at, whole[at])
		}
	}
}

// The time is the core's own; another digit there is another time.
func isTime(whole []byte, at int) bool {
	from := bytes.LastIndex(whole[:at+1], []byte(" t1"))
	from = max(from, bytes.LastIndex(whole[:at+1], []byte(" t0"))) + 2
	return from >= 2 && at < from+19 && whole[at] >= '0' && whole[at] <= '9'
}

func TestAnEventLostDoubledOrOfAnotherStreamIsRefused(t *testing.T) {
	for name, numbers := range map[string][][2]int{
		"lost":    {{7, 0}, {7, 2}},
		"doubled": {{7, 0}, {7, 0}},
		"foreign": {{7, 0}, {8, 1}},
	} {
		checker := Checker{Shape: First, Stream: 7}
		_ = checker.Feed([]byte(Meta(7)))
		var err error
		for _, n := range numbers {
			err = checker.Feed(First.AppendToken(nil, n[0], n[1], 1_700_000_000_000_000_000))
		}
		if !errors.Is(err, ErrBytes) {
			t.Fatal(name, err)
		}
	}
}
