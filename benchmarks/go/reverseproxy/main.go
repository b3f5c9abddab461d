// Reverseproxy is the yardstick: Go's own httputil.ReverseProxy, flushing at once, bare; or with a
// token verified (HS256) and a policy server asked (OPA) for each request, as a gateway must.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"
)

type claims struct {
	Subject  string   `json:"sub"`
	Tenant   string   `json:"tenant"`
	Roles    []string `json:"roles"`
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	NotFrom  int64    `json:"nbf"`
	Expires  int64    `json:"exp"`
}

var errToken = errors.New("token refused")

func verify(token string, secret []byte) (claims, error) {
	var found claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return found, errToken
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if decode(parts[0], &header) != nil || header.Algorithm != "HS256" {
		return found, errToken
	}
	mac := hmac.New(sha256.New, secret)
	io.WriteString(mac, parts[0]+"."+parts[1])
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) || decode(parts[1], &found) != nil {
		return found, errToken
	}
	now := time.Now().Unix()
	if found.Expires <= now || found.NotFrom > now+30 || found.Subject == "" ||
		found.Issuer != "knowledge-base-gateway" || found.Audience != "knowledge-base" {
		return found, errToken
	}
	return found, nil
}

func decode(part string, to any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

type asker struct {
	url    string
	client *http.Client
}

// allows asks the question the gateway asks, of the same policy.
func (a asker) allows(r *http.Request, who claims) bool {
	action, resource := "query:run", map[string]any{
		"type": "query", "id": nil, "owner": who.Subject, "tenant": who.Tenant,
	}
	route := r.URL.Path
	if id, found := strings.CutPrefix(r.URL.Path, "/v1/documents/"); found {
		action, route = "documents:read", "/v1/documents/{id}"
		resource["type"], resource["id"] = "document", id
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	question, _ := json.Marshal(map[string]any{"input": map[string]any{
		"subject": map[string]any{
			"id": who.Subject, "tenant": who.Tenant, "roles": who.Roles, "scopes": nil, "auth": "jwt",
		},
		"action":   action,
		"resource": resource,
		"request":  map[string]any{"method": r.Method, "route": route, "ip": ip},
	}})
	answer, err := a.client.Post(a.url, "application/json", bytes.NewReader(question))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var said struct {
		Result struct {
			Allow bool `json:"allow"`
		} `json:"result"`
	}
	body, err := io.ReadAll(answer.Body)
	return err == nil && answer.StatusCode == 200 && json.Unmarshal(body, &said) == nil &&
		said.Result.Allow
}

func guarded(next http.Handler, secret []byte, policy asker) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		who, err := verify(token, secret)
		if !found || err != nil {
			http.Error(w, "unauthenticated", http.StatusUnauthorized)
			return
		}
		if !policy.allows(r, who) {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fullDuplex keeps the server from closing a request's body once the answer begins. Without it a
// core that answers a POST at once makes ReverseProxy cut one stream in ten or so: the transport,
// looking for the body's end, finds it closed, and closes the connection to the core.
func fullDuplex(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		next.ServeHTTP(w, r)
	})
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "")
	core := flag.String("core", "", "base URL")
	opa := flag.String("opa", "", "base URL; with it tokens are verified too, with $JWT_SECRET")
	cert := flag.String("cert", "", "PEM file; with it and -key it serves HTTPS")
	key := flag.String("key", "", "PEM file")
	flag.Parse()
	target, err := url.Parse(*core)
	if err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{
		MaxIdleConns: 0, MaxIdleConnsPerHost: 20000, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true,
	}
	var handler http.Handler = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		FlushInterval: -1,
		Transport:     transport,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	handler = fullDuplex(handler)
	if *opa != "" {
		policy := asker{*opa + "/v1/data/gateway/authz", &http.Client{
			Transport: transport.Clone(), Timeout: 2 * time.Second,
		}}
		handler = guarded(handler, []byte(os.Getenv("JWT_SECRET")), policy)
	}
	if *cert != "" {
		log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, handler))
	}
	log.Fatal(http.ListenAndServe(*listen, handler))
}
