package events

import (
	"bytes"
	"errors"
	"testing"
)

func answer(stream, tokens int) []byte {
	all := []byte(Meta(stream))
	for number := range tokens {
		all = AppendToken(all, stream, number, 1_700_000_000_000_000_000+int64(number))
	}
	return append(append(all, Usage...), Done...)
}

func TestTokenHasItsSize(t *testing.T) {
	if got := len(AppendToken(nil, 123456, 99999999, 1_700_000_000_000_000_000)); got != Size {
		t.Fatalf("%d bytes", got)
	}
}

func TestAnyCutOfAnAnswerIsAccepted(t *testing.T) {
	whole := answer(7, 3)
	for size := 1; size <= len(whole); size++ {
		checker := Checker{Stream: 7}
		for rest := whole; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if err := checker.Feed(rest[:min(size, len(rest))]); err != nil {
				t.Fatal(size, err)
			}
		}
		if !checker.Done || checker.Tokens != 3 {
			t.Fatal(size, checker.Tokens)
		}
	}
}

func TestAnyChangedByteIsRefusedOrLeavesTheAnswerOpen(t *testing.T) {
	whole := answer(7, 2)
	for at := range whole {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 1
		checker := Checker{Stream: 7}
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
		checker := Checker{Stream: 7}
		_ = checker.Feed([]byte(Meta(7)))
		var err error
		for _, n := range numbers {
			err = checker.Feed(AppendToken(nil, n[0], n[1], 1_700_000_000_000_000_000))
		}
		if !errors.Is(err, ErrBytes) {
			t.Fatal(name, err)
		}
	}
}
