// Package events is what the stub core and the load generator agree on: every byte of an answer.
//
// An answer is one meta event, numbered token events, usage and done, all written in one shape. A
// token carries its stream's number, its own, the time it was made (ns since the epoch) and a
// filling that follows from both numbers, so that an event lost, doubled, merged, torn or sent to
// the wrong stream cannot go unnoticed.
package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	textHead  = "{\"text\":\""
	textTail  = "\"}"
	numbers   = len("s000000 n00000000 t0000000000000000000 ")
	alphabet  = "abcdefghijklmnopqrstuvwxyz"
	leastText = len(textHead) + numbers + len(textTail)
	// A short payload is the same numbers to the base of 64: stream, number and time.
	leastPayload = 3 + 4 + 11
	digits64     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
)

var fill = strings.Repeat(alphabet, 1<<8)

// Usage and Done end an answer that has an end.
const (
	Usage = "event: usage\ndata: {\"prompt_tokens\":1,\"completion_tokens\":1}\n\n"
	Done  = "event: done\ndata: {\"finish_reason\":\"stop\"}\n\n"
)

// Meta is the first event of a stream.
func Meta(stream int) string {
	return fmt.Sprintf("event: meta\ndata: {\"query_id\":\"%d\",\"model\":\"stub\"}\n\n", stream)
}

// AppendToken appends the token event `number` of `stream`, made at `atNs`.
func (s *Shape) AppendToken(to []byte, stream, number int, atNs int64) []byte {
	to = append(append(to, s.With(s.Head)...), s.Label...)
	to = s.appendPayload(to, stream, number, atNs)
	return append(to, s.With("\n"+s.Tail+"\n")...)
}

func (s *Shape) size() int {
	if s.Payload == 0 {
		return Size - usual
	}
	return max(s.Payload, leastPayload)
}

func (s *Shape) appendPayload(to []byte, stream, number int, atNs int64) []byte {
	size, from := s.size(), (stream*31+number)%26
	if size < leastText {
		to = append64(append64(append64(to, int64(stream), 3), int64(number), 4), atNs, 11)
		return append(to, fill[from:from+size-leastPayload]...)
	}
	to = append(append(to, textHead...), 's')
	to = appendPadded(to, int64(stream), 6)
	to = appendPadded(append(to, ' ', 'n'), int64(number), 8)
	to = appendPadded(append(to, ' ', 't'), atNs, 19)
	to = append(append(to, ' '), fill[from:from+size-leastText]...)
	return append(to, textTail...)
}

// made gives the time that stands in a payload.
func (s *Shape) made(payload []byte) (int64, error) {
	if s.size() >= leastText {
		at := len(textHead) + len("s000000 n00000000 t")
		return strconv.ParseInt(string(payload[at:at+19]), 10, 64)
	}
	value := int64(0)
	for _, digit := range payload[7:leastPayload] {
		at := strings.IndexByte(digits64, digit)
		if at < 0 {
			return 0, strconv.ErrSyntax
		}
		value = value<<6 | int64(at)
	}
	return value, nil
}

func append64(to []byte, value int64, width int) []byte {
	for place := width - 1; place >= 0; place-- {
		to = append(to, digits64[value>>(6*place)&63])
	}
	return to
}

func appendPadded(to []byte, value int64, width int) []byte {
	text := strconv.FormatInt(value, 10)
	for missing := width - len(text); missing > 0; missing-- {
		to = append(to, '0')
	}
	return append(to, text...)
}

// ErrBytes is anything but the very bytes the core sent, in their order.
var ErrBytes = errors.New("not the bytes the core sent")

// Checker reads one answer as it comes and compares every byte of it with what the core must have
// sent. Comments (a gateway's heartbeat, the core's own) are counted and passed over.
type Checker struct {
	Shape    Shape
	Stream   int
	Tokens   int // token events seen
	Comments int
	Done     bool
	OnToken  func(madeNs int64)

	buffer   []byte
	expected []byte
	stage    int // 0: meta is due; 1: tokens; 2: usage came, done is due; 3: nothing is due
}

// Begun says whether the first event was seen, whole and right.
func (c *Checker) Begun() bool { return c.stage > 0 }

// Feed takes bytes in, cut anywhere.
func (c *Checker) Feed(data []byte) error {
	if len(c.buffer) > 0 {
		data = append(c.buffer, data...)
	}
	for {
		end := c.Shape.Block(data)
		if end == 0 {
			break
		}
		if err := c.block(data[:end]); err != nil {
			return err
		}
		data = data[end:]
	}
	c.buffer = append(c.buffer[:0], data...)
	return nil
}

func (c *Checker) block(block []byte) error {
	switch {
	case block[0] == ':' || block[0] == '\n':
		c.Comments++
		return nil
	case c.stage == 0:
		c.stage = 1
		return c.same(block, c.Shape.With(Meta(c.Stream)))
	case c.stage == 1 && string(block) != c.Shape.With(Usage):
		return c.token(block)
	case c.stage == 1:
		c.stage = 2
		return nil
	case c.stage == 2:
		c.stage, c.Done = 3, true
		return c.same(block, c.Shape.With(Done))
	}
	return fmt.Errorf("%w: behind done: %q", ErrBytes, cut(block))
}

func (c *Checker) token(block []byte) error {
	// A comment that stands before each token is a block of its own.
	head := strings.TrimPrefix(c.Shape.Head, comment)
	at := len(c.Shape.With(head)) + len(c.Shape.Label)
	if len(block) < at+c.Shape.size() {
		return fmt.Errorf("%w: %q", ErrBytes, cut(block))
	}
	made, err := c.Shape.made(block[at:])
	if err != nil {
		return fmt.Errorf("%w: %q", ErrBytes, cut(block))
	}
	whole := c.Shape
	whole.Head = head
	c.expected = whole.AppendToken(c.expected[:0], c.Stream, c.Tokens, made)
	if !bytes.Equal(block, c.expected) {
		return fmt.Errorf("%w: %q instead of %q", ErrBytes, cut(block), cut(c.expected))
	}
	c.Tokens++
	if c.OnToken != nil {
		c.OnToken(made)
	}
	return nil
}

func (c *Checker) same(block []byte, expected string) error {
	if string(block) != expected {
		return fmt.Errorf("%w: %q instead of %q", ErrBytes, cut(block), expected)
	}
	return nil
}

func cut(block []byte) []byte {
	return block[:min(len(block), 200)]
}
