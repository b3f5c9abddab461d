// Package events is what the stub core and the load generator agree on: every byte of an answer.
//
// An answer is one meta event, numbered token events of exactly Size bytes, usage and done. A token
// carries its stream's number, its own, the time it was made (ns since the epoch) and a filling that
// follows from both numbers, so that an event lost, doubled, merged, torn or sent to the wrong
// stream cannot go unnoticed.
package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Size of a token event in bytes, its blank line included.
const Size = 120

const (
	tokenHead = "event: token\ndata: {\"text\":\""
	tokenTail = "\"}\n\n"
	fill      = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
	fillSize  = Size - len(tokenHead) - len(tokenTail) - len("s000000 n00000000 t0000000000000000000 ")
)

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
func AppendToken(to []byte, stream, number int, atNs int64) []byte {
	to = append(to, tokenHead...)
	to = appendPadded(append(to, 's'), int64(stream), 6)
	to = appendPadded(append(to, ' ', 'n'), int64(number), 8)
	to = appendPadded(append(to, ' ', 't'), atNs, 19)
	to = append(to, ' ')
	from := (stream*31 + number) % 26
	to = append(to, fill[from:from+fillSize]...)
	return append(to, tokenTail...)
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
// sent. Comments (a gateway's heartbeat) are counted and passed over.
type Checker struct {
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
		end := bytes.Index(data, []byte("\n\n"))
		if end < 0 {
			break
		}
		if err := c.block(data[:end+2]); err != nil {
			return err
		}
		data = data[end+2:]
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
		return c.same(block, Meta(c.Stream))
	case c.stage == 1 && len(block) == Size && bytes.HasPrefix(block, []byte(tokenHead)):
		return c.token(block)
	case c.stage == 1:
		c.stage = 2
		return c.same(block, Usage)
	case c.stage == 2:
		c.stage, c.Done = 3, true
		return c.same(block, Done)
	}
	return fmt.Errorf("%w: behind done: %q", ErrBytes, cut(block))
}

func (c *Checker) token(block []byte) error {
	at := len(tokenHead) + len("s000000 n00000000 t")
	made, err := strconv.ParseInt(string(block[at:at+19]), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrBytes, cut(block))
	}
	c.expected = AppendToken(c.expected[:0], c.Stream, c.Tokens, made)
	if !bytes.Equal(block, c.expected) {
		return fmt.Errorf("%w: %q instead of %q", ErrBytes, cut(block), c.expected)
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
