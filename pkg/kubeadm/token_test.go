package kubeadm

import (
	"regexp"
	"strings"
	"testing"
)

func TestNewToken(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)
	seen := map[string]bool{}
	counts := map[rune]int{}
	const tokens = 2000
	for range tokens {
		token, err := NewToken()
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(token) || seen[token] {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
		for _, r := range strings.Replace(token, ".", "", 1) {
			counts[r]++
		}
	}
	// 44,000 characters of 36 kinds: 1222 of each, standard deviation 35. A bias as of one byte modulo 36 makes 1203 to
	// 1375; six deviations let a fair one pass but once in ten million runs.
	for r, n := range counts {
		if n < 1012 || n > 1432 {
			t.Errorf("%q comes %d times", r, n)
		}
	}
	if len(counts) != 36 {
		t.Errorf("%d different characters", len(counts))
	}
}
