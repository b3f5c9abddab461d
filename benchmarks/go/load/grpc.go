package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"benchmarks/events"
)

// grpc asks QueryService.Ask over HTTP/2 on a connection of its own. The few messages it needs are
// read by hand: a library would hide what is on the wire, and cost the generator more.
func (c caller) grpc(conn net.Conn, query string) (io.Reader, error) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:          protocols,
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return conn, nil
		},
	}
	question := append(binary.AppendUvarint([]byte{0x0a}, uint64(len(query))), query...)
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(question))), question...)
	request, err := http.NewRequest("POST", c.plan.URL, bytes.NewReader(framed))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	request.Header.Set("Authorization", "Bearer "+c.token())
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if refused := response.Header.Get("Grpc-Status"); refused != "" || response.StatusCode != 200 {
		return nil, statusError{response.StatusCode, "grpc " + refused}
	}
	reader := bufio.NewReaderSize(response.Body, 4096)
	return &turned{next: func() (string, error) {
		message, err := whole(reader)
		if errors.Is(err, io.EOF) && response.Trailer.Get("Grpc-Status") != "0" {
			return "", fmt.Errorf("grpc status %q", response.Trailer.Get("Grpc-Status"))
		}
		if err != nil {
			return "", err
		}
		return told(message)
	}}, nil
}

// whole reads one message: a byte for compression, which there is none of, and four for its size.
func whole(reader *bufio.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || size > 1<<22 {
		return nil, fmt.Errorf("%w: a message's head %x", events.ErrBytes, head)
	}
	message := make([]byte, size)
	_, err := io.ReadFull(reader, message)
	return message, err
}

// told gives the core's bytes for an AskResponse: those of each of its events.
func told(message []byte) (string, error) {
	said := ""
	for len(message) > 0 {
		size, n := binary.Uvarint(message[1:])
		if message[0] != 0x0a || n <= 0 || size > uint64(len(message)-1-n) {
			return "", fmt.Errorf("%w: %q", events.ErrBytes, message)
		}
		one, err := event(message[1+n : 1+n+int(size)])
		if err != nil {
			return "", err
		}
		said, message = said+one, message[1+n+int(size):]
	}
	return said, nil
}

// event gives the core's bytes for an Event, which has one field, a message.
func event(message []byte) (string, error) {
	fields, err := read(message)
	if err != nil || len(fields) != 1 {
		return "", fmt.Errorf("%w: %q", events.ErrBytes, message)
	}
	for number, inner := range fields {
		of, err := read(inner)
		if err != nil {
			return "", err
		}
		switch number {
		case 1:
			return fmt.Sprintf("event: meta\ndata: {\"query_id\":%q,\"model\":%q}\n\n", of[1], of[2]), nil
		case 3:
			return fmt.Sprintf("event: token\ndata: {\"text\":%q}\n\n", of[1]), nil
		case 5:
			return events.Usage, nil
		case 6:
			return fmt.Sprintf("event: done\ndata: {\"finish_reason\":%q}\n\n", of[1]), nil
		}
	}
	return "", fmt.Errorf("%w: %q", events.ErrBytes, message)
}

// read gives a message's fields by their numbers; of those that are numbers the value is nil.
func read(message []byte) (map[uint64][]byte, error) {
	fields := map[uint64][]byte{}
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		value, m := binary.Uvarint(message[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil, events.ErrBytes
		}
		message = message[n+m:]
		switch tag & 7 {
		case 0:
			fields[tag>>3] = nil
		case 2:
			if value > uint64(len(message)) {
				return nil, events.ErrBytes
			}
			fields[tag>>3], message = message[:value], message[value:]
		default:
			return nil, events.ErrBytes
		}
	}
	return fields, nil
}
