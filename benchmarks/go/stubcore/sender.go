package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"time"

	"benchmarks/events"
)

// sender hands pieces of a body to its connection.
type sender interface {
	send(pieces ...[]byte) error
	end() error            // to be called once, in any case
	gone() <-chan struct{} // closed when the client has left
	left() bool
}

// begin sends the head, with the framing that the shape has.
func begin(w http.ResponseWriter, r *http.Request, shape events.Shape) sender {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-KB-Corpus-Revision", revision)
	switch {
	case shape.AtOnce:
		return hijacked(w)
	case shape.Framing == "length":
		w.Header().Set("Content-Length", "1099511627776")
	case shape.Framing == "close":
		w.Header().Set("Transfer-Encoding", "identity")
	}
	return &flushing{w, w.(http.Flusher), r}
}

// pieces gives the token events that come at a time, as the shape hands them over.
func pieces(shape *events.Shape, stream, first int) [][]byte {
	now := time.Now().UnixNano()
	if shape.Together < 2 {
		token := shape.AppendToken(nil, stream, first, now)
		if shape.Writes < 2 {
			return [][]byte{token}
		}
		return [][]byte{token[:shape.Cut()], token[shape.Cut():]}
	}
	found := make([][]byte, 0, shape.Together)
	for number := range shape.Together {
		found = append(found, shape.AppendToken(nil, stream, first+number, now))
	}
	if !shape.AtOnce {
		return [][]byte{bytes.Join(found, nil)}
	}
	return found
}

// flushing makes a chunk, and a write, of each piece.
type flushing struct {
	to      http.ResponseWriter
	flusher http.Flusher
	request *http.Request
}

func (f *flushing) send(pieces ...[]byte) error {
	for _, piece := range pieces {
		if _, err := f.to.Write(piece); err != nil {
			return err
		}
		f.flusher.Flush()
	}
	return nil
}

func (f *flushing) end() error            { return nil }
func (f *flushing) gone() <-chan struct{} { return f.request.Context().Done() }
func (f *flushing) left() bool            { return f.request.Context().Err() != nil }

// raw makes a chunk of each piece, and one write of them all.
type raw struct {
	conn   net.Conn
	closed chan struct{}
	buffer bytes.Buffer
}

func hijacked(w http.ResponseWriter) sender {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	to := &raw{conn: conn, closed: make(chan struct{})}
	go func() {
		defer close(to.closed)
		_, _ = conn.Read(make([]byte, 1)) // Whatever comes now is the client's leaving.
	}()
	fmt.Fprint(&to.buffer, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"+
		"Cache-Control: no-store\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	return to
}

func (r *raw) send(pieces ...[]byte) error {
	for _, piece := range pieces {
		fmt.Fprintf(&r.buffer, "%x\r\n%s\r\n", len(piece), piece)
	}
	_, err := r.conn.Write(r.buffer.Bytes())
	r.buffer.Reset()
	return err
}

func (r *raw) end() error {
	defer r.conn.Close()
	_, err := r.conn.Write([]byte("0\r\n\r\n"))
	return err
}

func (r *raw) gone() <-chan struct{} { return r.closed }

func (r *raw) left() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}
