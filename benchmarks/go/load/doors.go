package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"benchmarks/events"
)

// What another door says is turned back into the core's events, in the first shape, so that the same
// checker compares every byte of them. Each turner gives the events of one message at a time.
type turned struct {
	next func() (string, error)
	rest string
}

func (t *turned) Read(to []byte) (int, error) {
	for t.rest == "" {
		more, err := t.next()
		if err != nil {
			return 0, err
		}
		t.rest = more
	}
	n := copy(to, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// body asks at the plan's door, and gives the reader of the answer.
func (c caller) body(conn net.Conn, query string) (io.Reader, error) {
	switch c.plan.Door {
	case "", "sse":
		body, _ := json.Marshal(map[string]string{"query": query})
		return c.post(conn, string(body))
	case "ws":
		return c.socket(conn, query)
	case "openai":
		body, _ := json.Marshal(map[string]any{
			"model": "knowledge-base", "stream": true,
			"messages": []map[string]string{{"role": "user", "content": query}},
		})
		stream, err := c.post(conn, string(body))
		if err != nil {
			return nil, err
		}
		return &turned{next: chunks(bufio.NewReaderSize(stream, 4096), c.number)}, nil
	case "grpc":
		return c.grpc(conn, query)
	}
	return nil, fmt.Errorf("no door %q", c.plan.Door)
}

func (c caller) post(conn net.Conn, body string) (io.Reader, error) {
	if _, err := conn.Write([]byte(c.head("POST", c.plan.path, body))); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return nil, fmt.Errorf("content type %q", kind)
	}
	return response.Body, nil
}

// --- WebSocket -----------------------------------------------------------------------------------

const (
	text = 0x81
	ping = 0x89
)

// pong is a client's: masked, as RFC 6455 has it, and as empty as the gateway's pings.
var pong = []byte{0x8a, 0x80, 0, 0, 0, 0}

func (c caller) socket(conn net.Conn, query string) (io.Reader, error) {
	upgrade := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: kbg.v1\r\n\r\n"
	head := strings.TrimSuffix(c.head("GET", c.plan.path, ""), "\r\n") + upgrade
	if _, err := conn.Write([]byte(head)); err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(conn, 4096)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(response)
	}
	ask, _ := json.Marshal(map[string]string{"type": "ask", "id": "1", "query": query})
	if len(ask) > 1<<16-1 {
		return nil, errors.New("a long question")
	}
	// The mask is zero: what it is for is a proxy that takes a client's bytes for HTTP.
	frame := []byte{text, 0x80 | 126, byte(len(ask) >> 8), byte(len(ask)), 0, 0, 0, 0}
	if _, err := conn.Write(append(frame, ask...)); err != nil {
		return nil, err
	}
	return &turned{next: messages(conn, reader)}, nil
}

func messages(conn net.Conn, reader *bufio.Reader) func() (string, error) {
	return func() (string, error) {
		kind, data, err := frame(reader)
		switch {
		case err != nil:
			return "", err
		case kind == ping:
			_, err := conn.Write(pong)
			return "", err
		case kind != text:
			return "", fmt.Errorf("a frame %#x: %q", kind, data)
		}
		name, value, found := strings.Cut(strings.TrimPrefix(data, `{"id":"1","event":"`), `","data":`)
		if !found || name == "error" || !strings.HasSuffix(value, "}") {
			return "", fmt.Errorf("%w: %q", events.ErrBytes, data)
		}
		return "event: " + name + "\ndata: " + strings.TrimSuffix(value, "}") + "\n\n", nil
	}
}

// frame reads one frame of a server: never masked, and here never in fragments.
func frame(reader *bufio.Reader) (kind byte, data string, err error) {
	var head [8]byte
	if _, err = io.ReadFull(reader, head[:2]); err != nil {
		return 0, "", err
	}
	kind, size, wide := head[0], uint64(head[1]), 0
	switch size {
	case 126:
		wide = 2
	case 127:
		wide = 8
	}
	if wide > 0 {
		if _, err = io.ReadFull(reader, head[:wide]); err != nil {
			return 0, "", err
		}
		size = 0
		for _, digit := range head[:wide] {
			size = size<<8 | uint64(digit)
		}
	}
	if size > 1<<20 {
		return 0, "", errors.New("a long frame")
	}
	whole := make([]byte, size)
	_, err = io.ReadFull(reader, whole)
	return kind, string(whole), err
}

// --- OpenAI's shape ------------------------------------------------------------------------------

// chunks gives a meta event for the first chunk, which names the role, and a token for each text.
func chunks(reader *bufio.Reader, stream int) func() (string, error) {
	begun := false
	return func() (string, error) {
		line, err := reader.ReadString('\n')
		if err != nil {
			return "", err
		}
		data, found := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: ")
		if !found {
			return "", nil // a blank line or a comment
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
			Error any `json:"error"`
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil || chunk.Error != nil {
			return "", fmt.Errorf("%w: %q", events.ErrBytes, data)
		}
		said := ""
		if !begun {
			begun, said = true, events.Meta(stream)
		}
		for _, choice := range chunk.Choices {
			if choice.Delta.Content != "" {
				said += "event: token\ndata: {\"text\":\"" + choice.Delta.Content + "\"}\n\n"
			}
		}
		return said, nil
	}
}
