// Load plays the clients. It reads its plan (JSON) from the file named as its argument and says,
// a line of JSON each on standard output, when a state is reached ("steady", "end": between the two
// the figures are taken) and what came of it ("result").
//
// It speaks HTTP itself over plain sockets, one goroutine a client, so that it costs little and
// sees every byte, the framing's included. All of it is bounded in time and number.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"
)

type plan struct {
	Mode         string  `json:"mode"`    // streams, storm, churn, unary, asks, slow
	URL          string  `json:"url"`     // what is asked
	Core         string  `json:"core"`    // the stub core's base URL, for its counts
	TokensFile   string  `json:"tokens"`  // one token a line, a user each
	Sources      bool    `json:"sources"` // clients have addresses of their own
	Streams      int     `json:"streams"` // clients at a time
	Total        int     `json:"total"`   // churn: streams in all
	Rate         float64 `json:"rate"`    // events a second and stream; unary: requests a second and connection
	Seconds      float64 `json:"seconds"` // the length of the measured window
	OpenPerS     float64 `json:"open_per_s"`
	SettleS      float64 `json:"settle_s"`
	LifeMs       float64 `json:"life_ms"`       // churn: the longest a client stays
	ReadBytesS   int     `json:"read_bytes_s"`  // slow: what each client takes a second
	ReceiveBytes int     `json:"receive_bytes"` // its kernel's receive buffer; 0: the default
	Seed         uint64  `json:"seed"`
	Singly       bool    `json:"singly"`  // streams: every stream's time to its first byte
	Shape        string  `json:"shape"`   // how the core writes its events; "": the first shape
	Payload      int     `json:"payload"` // bytes of an event's data; 0: the usual ones
	Door         string  `json:"door"`    // sse (or ""), ws, openai, grpc
	Order        string  `json:"order"`   // asks: what the core is to answer
	Whole        bool    `json:"whole"`   // asks: as one JSON document
	CacheControl string  `json:"cache_control"`

	address, path string
	secure        *tls.Config // nil: not in TLS
	tokens        []string
}

func say(at string, facts map[string]any) {
	if facts == nil {
		facts = map[string]any{}
	}
	facts["at"] = at
	line, err := json.Marshal(facts)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("load PLAN.json")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		log.Fatal(err)
	}
	if err := p.locate(); err != nil {
		log.Fatal(err)
	}
	if p.TokensFile != "" {
		tokens, err := os.ReadFile(p.TokensFile)
		if err != nil {
			log.Fatal(err)
		}
		p.tokens = strings.Fields(string(tokens))
	}
	modes := map[string]func(*plan) map[string]any{
		"streams": streams, "storm": storm, "churn": churn, "unary": unary, "asks": asks,
		"slow": slow,
	}
	mode, known := modes[p.Mode]
	if !known {
		log.Fatalf("no mode %q", p.Mode)
	}
	began := time.Now()
	result := mode(&p)
	result["generator_cpu_s"] = ownCPU()
	result["generator_wall_s"] = time.Since(began).Seconds()
	say("result", result)
}
