// A receiver of webhooks with nothing but Go's standard library. It verifies ed25519 signatures, so it holds no secret.
//
//	export WEBHOOK_PUBLIC_KEYS=whpk_… RECEIVED=received.jsonl PORT=9000
//	go run main.go
//
// One process: several need a database with a unique key on the id.
package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 300 * time.Second
	maxBytes  = 1 << 20
)

var (
	idForm        = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	timestampForm = regexp.MustCompile(`^[0-9]{1,12}$`)
	signatureForm = regexp.MustCompile(`^v1a,([A-Za-z0-9+/]{86}==)$`)
)

type entry struct {
	ID    string          `json:"id"`
	Event json.RawMessage `json:"event"`
}

// store keeps each delivery once, in a file with a line for each.
type store struct {
	mutex sync.Mutex
	file  *os.File
	known map[string]bool
}

func open(path string) (*store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 2*maxBytes)
	for lines.Scan() {
		var one entry
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			known[one.ID] = true
		}
	}
	if err = lines.Err(); err == nil {
		_, err = file.WriteString("\n") // ends a line that a crash has cut off
	}
	return &store{file: file, known: known}, err
}

// receive has a delivery on disk when it returns.
func (s *store) receive(id string, body []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.known[id] {
		return nil
	}
	line, err := json.Marshal(entry{id, body})
	if err != nil {
		return err
	}
	if _, err = s.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err = s.file.Sync(); err != nil {
		return err
	}
	s.known[id] = true
	// Apply the event here: its `type` is `verification.decided`; ignore other types.
	return nil
}

// verified tells whether a delivery is from the fleet. body: the bytes as they arrived.
func verified(keys []ed25519.PublicKey, header http.Header, body []byte) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if !idForm.MatchString(id) || !timestampForm.MatchString(timestamp) {
		return false
	}
	seconds, _ := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return false
	}
	content := append([]byte(id+"."+timestamp+"."), body...)
	signatures := strings.SplitN(header.Get("webhook-signature"), " ", 16)
	for _, text := range signatures {
		found := signatureForm.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		signature, _ := base64.StdEncoding.DecodeString(found[1])
		for _, key := range keys {
			if ed25519.Verify(key, content, signature) {
				return true
			}
		}
	}
	return false
}

// publicKeys reads the keys of GET /v1/webhook-keys: during a rotation the old one and the new one.
func publicKeys(text string) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, one := range strings.Split(text, ",") {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(one), "whpk_"))
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("WEBHOOK_PUBLIC_KEYS: give whpk_… of GET /v1/webhook-keys, separated by commas")
		}
		keys = append(keys, raw)
	}
	return keys, nil
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	keys, err := publicKeys(os.Getenv("WEBHOOK_PUBLIC_KEYS"))
	if err != nil {
		log.Fatal(err)
	}
	received, err := open(setting("RECEIVED", "received.jsonl"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodPost || request.URL.Path != "/" {
			answer.WriteHeader(http.StatusNotFound)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, maxBytes))
		switch {
		case err != nil:
			answer.WriteHeader(http.StatusRequestEntityTooLarge)
		case !verified(keys, request.Header, body):
			answer.WriteHeader(http.StatusUnauthorized)
		case received.receive(request.Header.Get("webhook-id"), body) != nil:
			answer.WriteHeader(http.StatusInternalServerError) // the fleet sends it again
		default:
			answer.WriteHeader(http.StatusNoContent) // for a known id, too
		}
	})
	server := http.Server{Addr: "127.0.0.1:" + setting("PORT", "9000"), ReadTimeout: 15 * time.Second}
	log.Fatal(server.ListenAndServe())
}
