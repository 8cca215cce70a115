// Command hold is a container's only program: it answers on port 80 with what /data/told holds, and ends on SIGTERM. A
// request to /tell?it=X writes X there.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/tell", func(w http.ResponseWriter, r *http.Request) {
		if err := os.WriteFile("/data/told", []byte(r.FormValue("it")), 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		data, err := os.ReadFile("/data/told")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s", data)
	})
	server := &http.Server{Addr: ":80", Handler: mux, ReadHeaderTimeout: time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}
