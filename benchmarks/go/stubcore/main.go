// Stubcore stands in for everything behind the gateway: the core, and (answering as briefly as they
// can) the object storage and Temporal, so that what is measured is the gateway alone.
//
// POST /v1/query answers a stream as the query's text orders it, "id=7 events=100 rate=50 for=60":
// stream number, token events (0: endless), events a second (0: as fast as they are taken), and the
// most seconds it may last; "shape=crlf payload=64" says how they are written (events.Shapes),
// "together=8" how many come at a time. GET /v1/documents/{id} is a small JSON record, and documents
// never change.
// The same events are to be had over gRPC (grpc.go).
// GET /stats counts; GET /leaves says when it saw each stream's client leave; POST /reset forgets.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"benchmarks/events"
)

const longestS = 3600

// revision is that of everybody's documents.
const revision = "1"

var late time.Duration

type counters struct {
	open, opened, left, completed, events atomic.Int64

	lock   sync.Mutex
	leaves map[int][2]int64 // stream → ns when it was opened, ns when its client left (0: it did not)
}

var seen = counters{leaves: map[int][2]int64{}}

type order struct {
	id, events int
	rate       float64
	lasts      time.Duration
	shape      events.Shape
}

func parse(text string) (order, error) {
	wanted := order{events: 1, rate: 50, lasts: 60 * time.Second}
	shape, payload, together := "", 0, 0
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		if name == "shape" {
			shape = value
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return wanted, fmt.Errorf("%q is no order", word)
		}
		switch name {
		case "id":
			wanted.id = int(number)
		case "payload":
			payload = int(number)
		case "together":
			together = int(number)
		case "events":
			wanted.events = int(number)
		case "rate":
			wanted.rate = number
		case "for":
			wanted.lasts = time.Duration(min(number, longestS) * float64(time.Second))
		}
	}
	known := false
	if wanted.shape, known = events.Named(shape, payload); !known {
		return wanted, fmt.Errorf("no shape %q", shape)
	}
	if together > 0 {
		wanted.shape.Together = together
	}
	return wanted, nil
}

func query(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Query string `json:"query"`
	}
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body)
	wanted, orderErr := parse(body.Query)
	if err != nil || orderErr != nil {
		http.Error(w, "bad order", http.StatusBadRequest)
		return
	}
	answer(r, wanted, func() sender { return begin(w, r, wanted.shape) })
}

// answer streams what was ordered and counts it, whatever it travels over.
func answer(r *http.Request, wanted order, begin func() sender) {
	seen.open.Add(1)
	seen.opened.Add(1)
	opened := time.Now().UnixNano()
	note(wanted.id, opened, 0)
	defer seen.open.Add(-1)
	if late > 0 {
		select {
		case <-time.After(late):
		case <-r.Context().Done():
		}
	}
	to := begin()
	whole := stream(to, wanted)
	if to.end() == nil && whole {
		seen.completed.Add(1)
		return
	}
	seen.left.Add(1)
	note(wanted.id, opened, time.Now().UnixNano())
}

func note(id int, opened, left int64) {
	seen.lock.Lock()
	seen.leaves[id] = [2]int64{opened, left}
	seen.lock.Unlock()
}

// stream sends what was ordered; false when the client left first.
func stream(to sender, wanted order) bool {
	shape := &wanted.shape
	if to.send([]byte(shape.With(events.Meta(wanted.id)))) != nil {
		return false
	}
	began := time.Now()
	// Streams beat at different moments, as they do in life.
	period := time.Duration(0)
	next := began
	if wanted.rate > 0 {
		period = time.Duration(float64(shape.AtATime()) * float64(time.Second) / wanted.rate)
		next = began.Add(time.Duration(rand.Int64N(int64(period))))
	}
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for number := 0; wanted.events == 0 || number < wanted.events; number += shape.AtATime() {
		if time.Since(began) > wanted.lasts {
			break
		}
		if wanted.rate > 0 {
			select {
			case <-to.gone():
				return false
			case <-timer.C:
			}
			next = next.Add(period)
			timer.Reset(time.Until(next))
		}
		if to.send(pieces(shape, wanted.id, number)...) != nil {
			return false
		}
		seen.events.Add(int64(shape.AtATime()))
		if wanted.rate == 0 && to.left() {
			return false
		}
	}
	return to.send([]byte(shape.With(events.Usage+events.Done))) == nil && !to.left()
}

func document(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"document_id":%q,"filename":"report.pdf","content_type":"application/pdf",`+
		`"size":48213,"sha256":"`+strings.Repeat("5e", 32)+`","status":"indexed","error":null,`+
		`"created_at":"2026-01-31T08:00:00Z","updated_at":"2026-01-31T08:00:04Z","chunks":17}`,
		r.PathValue("id"))
}

func stats(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(map[string]int64{
		"open": seen.open.Load(), "opened": seen.opened.Load(), "left": seen.left.Load(),
		"completed": seen.completed.Load(), "events": seen.events.Load(),
	})
}

func leaves(w http.ResponseWriter, _ *http.Request) {
	seen.lock.Lock()
	defer seen.lock.Unlock()
	json.NewEncoder(w).Encode(seen.leaves)
}

func reset(_ http.ResponseWriter, _ *http.Request) {
	seen.lock.Lock()
	seen.leaves = map[int][2]int64{}
	seen.lock.Unlock()
	for _, counter := range []*atomic.Int64{&seen.opened, &seen.left, &seen.completed, &seen.events} {
		counter.Store(0)
	}
}

// temporal answers gRPC: every workflow is unknown, everything else is well and empty.
func temporal(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/grpc")
	if strings.HasSuffix(r.URL.Path, "/DescribeWorkflowExecution") {
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "workflow not found")
		return
	}
	message := []byte{}
	if strings.HasSuffix(r.URL.Path, "/grpc.health.v1.Health/Check") {
		message = []byte{0x08, 0x01} // SERVING
	}
	w.Header().Set("Trailer", "Grpc-Status")
	w.Write(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
	w.Header().Set("Grpc-Status", "0")
}

func serve(address string, handler http.Handler, h2c bool) string {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	if h2c {
		server.Protocols = new(http.Protocols)
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	go server.Serve(listener)
	return listener.Addr().String()
}

func main() {
	core := flag.String("core", "127.0.0.1:0", "address of the core")
	flag.DurationVar(&late, "late", 0, "how long a question waits for its answer's head")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/query", query)
	mux.HandleFunc("GET /v1/documents/{id}", document)
	mux.HandleFunc("DELETE /v1/documents/{id}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /v1/revision", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"revision":%q}`, revision)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"ok"}`)
	})
	mux.HandleFunc("GET /stats", stats)
	mux.HandleFunc("GET /leaves", leaves)
	mux.HandleFunc("POST /reset", reset)
	well := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"ready":    true,
		"core":     serve(*core, mux, false),
		"grpc":     serve("127.0.0.1:0", http.HandlerFunc(overGRPC), true),
		"s3":       serve("127.0.0.1:0", well, false),
		"temporal": serve("127.0.0.1:0", http.HandlerFunc(temporal), true),
	})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
