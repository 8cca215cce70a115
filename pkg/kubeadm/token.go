package kubeadm

import (
	"crypto/rand"
	"fmt"
	"math/big"
)

// NewToken returns a random bootstrap token, [a-z0-9]{6}.[a-z0-9]{16}, of 82 secret bits. Each character is as likely
// as any other.
func NewToken() (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	token := make([]byte, len("abcdef.0123456789abcdef"))
	for i := range token {
		if i == 6 {
			token[i] = '.'
			continue
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", fmt.Errorf("cannot make a token: %w", err)
		}
		token[i] = alphabet[n.Int64()]
	}
	return string(token), nil
}
