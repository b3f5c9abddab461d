package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"benchmarks/events"
)

// caller is one client: an address of its own in 127.0.0.0/8 where that can be had, and a token.
type caller struct {
	number int
	plan   *plan
}

func (c caller) token() string {
	if len(c.plan.tokens) == 0 {
		return ""
	}
	return c.plan.tokens[c.number%len(c.plan.tokens)]
}

// connection is a client's: TCP's, in TLS where the plan says so.
type connection struct {
	net.Conn
	tcp *net.TCPConn
}

func (c caller) dial(ctx context.Context) (*connection, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	if c.plan.Sources {
		// Clients have addresses of their own; limits by address must not mistake them for one.
		at := c.number % (250 * 250)
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(at/250), byte(1+at%250))}
	}
	if c.plan.ReceiveBytes > 0 {
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(descriptor uintptr) {
				_ = syscall.SetsockoptInt(int(descriptor), syscall.SOL_SOCKET, syscall.SO_RCVBUF,
					c.plan.ReceiveBytes)
			})
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.plan.address)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	if c.plan.secure == nil {
		return &connection{tcp, tcp}, nil
	}
	secured := tls.Client(tcp, c.plan.secure)
	if err := secured.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, err
	}
	return &connection{secured, tcp}, nil
}

func (c caller) head(method, path, body string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, c.plan.address)
	if token := c.token(); token != "" {
		fmt.Fprintf(&text, "Authorization: Bearer %s\r\n", token)
	}
	if method == "POST" {
		if control := c.plan.CacheControl; control != "" {
			fmt.Fprintf(&text, "Cache-Control: %s\r\n", control)
		}
		fmt.Fprintf(&text, "Accept: text/event-stream\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n", len(body))
	}
	text.WriteString("\r\n")
	text.WriteString(body)
	return text.String()
}

// answer is an open stream whose head was 200 and an event stream.
type answer struct {
	conn    net.Conn
	body    io.Reader
	checker events.Checker
	buffer  []byte
	at      int64 // ns: when the last bytes came
}

// statusError is an answer other than 200, with the gateway's code where it gives one.
type statusError struct {
	status int
	code   string
}

func (s statusError) Error() string { return strings.TrimSpace(fmt.Sprint(s.status, " ", s.code)) }

func refusal(response *http.Response) statusError {
	var body struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&body)
	return statusError{response.StatusCode, body.Error.Code}
}

// open asks for stream `c.number` and reads its head.
func (c caller) open(ctx context.Context, conn net.Conn, order string) (*answer, error) {
	shape, known := events.Named(c.plan.Shape, c.plan.Payload)
	if !known {
		return nil, fmt.Errorf("no shape %q", c.plan.Shape)
	}
	if c.plan.Shape != "" {
		order = fmt.Sprintf("%s shape=%s payload=%d", order, c.plan.Shape, c.plan.Payload)
	}
	body, err := c.body(conn, fmt.Sprintf("id=%d %s", c.number, order))
	if err != nil {
		return nil, err
	}
	return &answer{
		conn: conn, body: body, checker: events.Checker{Shape: shape, Stream: c.number},
		buffer: make([]byte, 4096),
	}, ctx.Err()
}

// read takes what has come and checks it; io.EOF only behind a whole answer.
func (a *answer) read() (int, error) {
	n, err := a.body.Read(a.buffer)
	a.at = time.Now().UnixNano()
	if n > 0 {
		if wrong := a.checker.Feed(a.buffer[:n]); wrong != nil {
			return n, wrong
		}
	}
	if errors.Is(err, io.EOF) && !a.checker.Done {
		return n, errors.New("ended early")
	}
	return n, err
}

// tally counts failures by what they were, and keeps one example of each.
type tally struct {
	lock   sync.Mutex
	counts map[string]int
	first  map[string]string
}

func newTally() *tally { return &tally{counts: map[string]int{}, first: map[string]string{}} }

func (t *tally) add(err error) {
	kind := kindOf(err)
	t.lock.Lock()
	defer t.lock.Unlock()
	t.counts[kind]++
	if t.counts[kind] == 1 {
		t.first[kind] = err.Error()
	}
}

func (t *tally) total() int {
	t.lock.Lock()
	defer t.lock.Unlock()
	sum := 0
	for _, count := range t.counts {
		sum += count
	}
	return sum
}

func kindOf(err error) string {
	var status statusError
	var timeout net.Error
	switch {
	case errors.Is(err, events.ErrBytes):
		return "wrong_bytes"
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), err.Error() == "ended early":
		return "cut"
	}
	return "other"
}

func (p *plan) locate() error {
	target, err := url.Parse(p.URL)
	if err != nil {
		return err
	}
	p.address, p.path = target.Host, target.RequestURI()
	if target.Scheme == "https" {
		// What checking a certificate costs is the client's, and no part of any figure.
		p.secure = &tls.Config{InsecureSkipVerify: true}
	}
	return nil
}
