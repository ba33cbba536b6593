// fake-gcs-server with the writes of the XML API, which it does not have: each becomes the upload of the JSON API that means the same, so
// that fake-gcs-server itself compares generations. Requests need a token that the service account has signed.
package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

type service struct {
	fake    http.Handler
	key     *rsa.PublicKey
	account string
}

func main() {
	address := "127.0.0.1:" + os.Getenv("PORT")
	text, err := os.ReadFile(os.Getenv("ACCOUNT_KEY"))
	check(err)
	block, _ := pem.Decode(text)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	check(err)
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, StorageRoot: os.Getenv("BUCKETS"), PublicHost: address,
	})
	check(err)
	key := private.(*rsa.PrivateKey).PublicKey
	check(http.ListenAndServe(address, &service{fake.HTTPHandler(), &key, os.Getenv("ACCOUNT")}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.signed(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		http.Error(w, "<Error><Code>AuthenticationRequired</Code></Error>", http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPut {
		s.put(w, r)
		return
	}
	s.fake.ServeHTTP(w, r)
}

// PUT /BUCKET/OBJECT with x-goog-if-generation-match.
func (s *service) put(w http.ResponseWriter, r *http.Request) {
	bucket, object, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	name, err := url.PathUnescape(object)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := url.Values{"uploadType": {"media"}, "name": {name}}
	if match := r.Header.Get("x-goog-if-generation-match"); match != "" {
		query.Set("ifGenerationMatch", match)
	}
	upload := r.Clone(r.Context())
	upload.Method = http.MethodPost
	upload.URL = &url.URL{Path: "/upload/storage/v1/b/" + bucket + "/o", RawQuery: query.Encode()}
	upload.RequestURI = upload.URL.RequestURI()
	answer := httptest.NewRecorder()
	s.fake.ServeHTTP(answer, upload)
	var stored struct {
		Generation string `json:"generation"`
		Etag       string `json:"etag"`
	}
	if answer.Code == http.StatusOK {
		if err := json.Unmarshal(answer.Body.Bytes(), &stored); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("x-goog-generation", stored.Generation)
		w.Header().Set("ETag", strconv.Quote(stored.Etag))
	}
	w.WriteHeader(answer.Code)
	if answer.Code != http.StatusOK {
		_, _ = bytes.NewReader(answer.Body.Bytes()).WriteTo(w)
	}
}

// A JWT of the service account for now (RFC 7515, RS256).
func (s *service) signed(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(s.key, crypto.SHA256, digest[:], signature) != nil {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
		Ends   int64  `json:"exp"`
	}
	return err == nil && json.Unmarshal(text, &claims) == nil && claims.Issuer == s.account && claims.Ends > time.Now().Unix()
}
