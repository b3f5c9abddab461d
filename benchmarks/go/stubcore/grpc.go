package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
)

// The core over gRPC (proto/knowledge/core/v1), written by hand: a message in a frame is all there is
// to it, and nothing has to be built or downloaded for it.

var errNoMessage = errors.New("no message of gRPC")

// overGRPC answers knowledge.core.v1.CoreService/Query with the same events as POST /v1/query.
func overGRPC(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	switch {
	case strings.HasSuffix(r.URL.Path, "CoreService/Query"):
		queryOverGRPC(w, r)
	case strings.HasSuffix(r.URL.Path, "grpc.health.v1.Health/Check"):
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(framed([]byte{0x08, 0x01})) // SERVING
		w.Header().Set("Grpc-Status", "0")
	default:
		w.Header().Set("Grpc-Status", "12")
	}
}

func queryOverGRPC(w http.ResponseWriter, r *http.Request) {
	text, err := asked(r.Body)
	wanted, orderErr := parse(text)
	if err != nil || orderErr != nil {
		w.Header().Set("Grpc-Status", "3")
		return
	}
	w.Header().Set("Trailer", "Grpc-Status")
	// Metadata of the head that is not empty says that the answer has begun.
	w.Header().Set("X-Kb-Corpus-Revision", "1")
	answer(r, wanted, func() sender { return &messages{flushing{w, w.(http.Flusher), r}} })
	w.Header().Set("Grpc-Status", "0")
}

// asked reads the frame of a QueryRequest, and of that the first field: the question.
func asked(body io.Reader) (string, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(body, head); err != nil {
		return "", err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(body, message); err != nil {
		return "", err
	}
	if len(message) < 2 || message[0] != 0x0a {
		return "", errNoMessage
	}
	size, n := binary.Uvarint(message[1:])
	if n <= 0 || uint64(len(message)-1-n) < size {
		return "", errNoMessage
	}
	return string(message[1+n : 1+n+int(size)]), nil
}

// messages makes a QueryResponse of each event, and writes it at once.
type messages struct {
	flushing
}

func (m *messages) send(pieces ...[]byte) error {
	for _, piece := range pieces {
		for _, event := range bytes.SplitAfter(piece, []byte("\n\n")) {
			if len(event) == 0 {
				continue
			}
			if err := m.flushing.send(framed(field(1, message(event)))); err != nil {
				return err
			}
		}
	}
	return nil
}

// message is the Event of a server-sent event: its name and its data.
func message(event []byte) []byte {
	var made []byte
	for _, line := range bytes.Split(bytes.TrimRight(event, "\n"), []byte("\n")) {
		if name, found := bytes.CutPrefix(line, []byte("event: ")); found {
			made = append(made, field(1, name)...)
		}
		if data, found := bytes.CutPrefix(line, []byte("data: ")); found {
			made = append(made, field(2, data)...)
		}
	}
	return made
}

func field(number byte, content []byte) []byte {
	made := binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(content)))
	return append(made, content...)
}

func framed(message []byte) []byte {
	made := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(made, message...)
}
