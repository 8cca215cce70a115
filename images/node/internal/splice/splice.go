// Package splice joins a connection to standard input and output, so that an exec session into a node becomes a connection
// made from inside it. It understands nothing of what passes.
package splice

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// connectTimeout is how long the other side may take to accept.
const connectTimeout = 10 * time.Second

// Dial connects to address and copies in to it and what it sends to out. The end of in closes only that direction: answers
// still come. It returns nil when the other side has sent everything; what in has after that would reach nobody. Fails
// when there is no connection, or it breaks.
func Dial(ctx context.Context, network, address string, in io.Reader, out io.Writer) error {
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	go func() {
		if _, err := io.Copy(conn, in); err != nil {
			return // the other direction fails too, or ends
		}
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(out, conn); err != nil {
		return fmt.Errorf("connection to %s broke: %w", address, err)
	}
	return ctx.Err()
}
