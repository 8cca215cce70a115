package event

import (
	"crypto/rand"
	"strings"
	"time"
)

// NewRunID returns an ID for a run that begins now: IDs sort by their second, no two are equal, and each is a DNS label
// (RFC 1123) and so a label's value and a file's name: "20261122-141503-x7q2mk".
func NewRunID(now time.Time) string {
	// rand.Text is base32: letters and digits, five random bits each.
	return now.UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:6])
}
