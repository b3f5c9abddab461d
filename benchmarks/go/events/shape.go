package events

import (
	"bytes"
	"strings"
)

// Size of a token event of the first shape in bytes, its blank line included.
const Size = 120

// Shape is how a core writes its events, and how it hands them to its connection.
type Shape struct {
	End     string // what lines end in; LF where it is empty
	Head    string // the lines before the token's data, ending in LF here
	Label   string // what the line with the data begins with
	Tail    string // the lines behind it, ending in LF here
	Payload int    // bytes of the data; of the usual text where it is 0

	Writes   int    // an event comes in two pieces where this is 2, cut before its data
	Together int    // how many events come at a time; one where it is 0
	AtOnce   bool   // all pieces that come at a time are chunks in one write
	Framing  string // of the body: in chunks where it is empty, else "length" or "close"
}

const (
	named   = "event: token\n"
	spaced  = "data: "
	usual   = len(named) + len(spaced) + len("\n\n")
	comment = ": the core is thinking\n\n"
)

// Shapes are the ways that cores write, by their names; the first one is what most of the
// benchmarks send.
var Shapes = map[string]Shape{
	"first":       {Head: named, Label: spaced},
	"id":          {Head: "id: 12345\n" + named, Label: spaced},
	"crlf":        {End: "\r\n", Head: named, Label: spaced},
	"cr":          {End: "\r", Head: named, Label: spaced},
	"data":        {Label: spaced},
	"no-blank":    {Head: "event:token\n", Label: "data:"},
	"data-first":  {Label: spaced, Tail: named},
	"fields":      {Head: "retry: 3000\nid: 12345\nfoo: bar\n" + named, Label: spaced},
	"lines":       {Head: named + "data: [\n", Label: spaced, Tail: "data: ]\n"},
	"comments":    {Head: comment + named, Label: spaced},
	"two-writes":  {Head: named, Label: spaced, Writes: 2},
	"two-chunks":  {Head: named, Label: spaced, Writes: 2, AtOnce: true},
	"crlf-chunks": {End: "\r\n", Head: named, Label: spaced, Writes: 2, AtOnce: true},
	"eight-reads": {Head: named, Label: spaced, Together: 8, AtOnce: true},
	"eight-chunk": {Head: named, Label: spaced, Together: 8},
	"length":      {Head: named, Label: spaced, Framing: "length"},
	"close":       {Head: named, Label: spaced, Framing: "close"},
}

// First is the shape that is meant where none is named.
var First = Shapes["first"]

// Named gives a shape by its name, with so many bytes of data (0: the usual ones).
func Named(name string, payload int) (Shape, bool) {
	if name == "" {
		name = "first"
	}
	shape, known := Shapes[name]
	shape.Payload = payload
	return shape, known
}

// AtATime is how many events come at a time.
func (s *Shape) AtATime() int { return max(s.Together, 1) }

// With gives `text`, whose lines end in LF, with the shape's line ends.
func (s *Shape) With(text string) string {
	if s.End == "" {
		return text
	}
	return strings.ReplaceAll(text, "\n", s.End)
}

// Block gives the end of the first block in `data`, 0 where there is none. Whoever stands between
// puts comments of its own in, which end in LF.
func (s *Shape) Block(data []byte) int {
	end := 0
	for _, blank := range []string{"\n\n", s.With("\n\n")} {
		if at := bytes.Index(data, []byte(blank)); at >= 0 && (end == 0 || at+len(blank) < end) {
			end = at + len(blank)
		}
	}
	return end
}

// Cut gives where the second piece of a token event begins.
func (s *Shape) Cut() int { return len(s.With(s.Head)) }
