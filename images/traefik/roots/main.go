// Roots prints the certificates of the public authorities that Mozilla trusts, in PEM: what /etc/ssl/certs has elsewhere. The
// few that Mozilla trusts for a part of their certificates only are left out, because PEM has no way to say so.
package main

import (
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			fmt.Fprintln(os.Stderr, "roots:", err)
			os.Exit(1)
		}
	}
}
