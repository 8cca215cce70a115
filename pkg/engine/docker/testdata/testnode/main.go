// Command testnode is all that the contract's test image has: it is PID 1, and the few commands that the suite runs.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:])) }

func run(name string, args []string) int {
	switch name {
	case "init":
		return initProcess()
	case "echo":
		fmt.Println(strings.Join(args, " "))
	case "complain":
		fmt.Fprintln(os.Stderr, strings.Join(args, " "))
	case "cat":
		return cat(args)
	case "env":
		for _, v := range os.Environ() {
			fmt.Println(v)
		}
	case "pwd":
		wd, _ := os.Getwd()
		fmt.Println(wd)
	case "stat":
		info, err := os.Stat(args[0])
		if err != nil {
			return complain(err)
		}
		fmt.Printf("%o\n", info.Mode().Perm())
	case "status":
		n, _ := strconv.Atoi(args[0])
		return n
	case "sleep":
		d, _ := time.ParseDuration(args[0])
		time.Sleep(d)
	case "write":
		if err := os.WriteFile(args[0], []byte(args[1]), 0o600); err != nil {
			return complain(err)
		}
	case "cove-node":
		return dial(args)
	default:
		return complain(fmt.Errorf("no command %s", name))
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// initProcess serves what it reads back on port 7, and exits when it is asked to.
func initProcess() int {
	fmt.Println("testnode started")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if l, err := net.Listen("tcp", ":7"); err == nil {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(c, c)
					_ = c.Close()
				}()
			}
		}()
	}
	<-stop
	fmt.Println("testnode stopped")
	return 0
}

func cat(files []string) int {
	if len(files) == 0 {
		_, _ = io.Copy(os.Stdout, os.Stdin)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return complain(err)
		}
		_, _ = os.Stdout.Write(data)
	}
	return 0
}

// dial is `cove-node dial tcp ADDRESS`.
func dial(args []string) int {
	c, err := net.Dial(args[1], args[2])
	if err != nil {
		return complain(err)
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, c)
	return 0
}
