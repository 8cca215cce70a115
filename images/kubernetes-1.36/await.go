package main

import (
	"context"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// The pace and the bound of awaitAPI. After the bound the program starts all the same, and says itself what is wrong.
const (
	awaitEvery = 25 * time.Millisecond
	awaitTry   = 2 * time.Second
	awaitAtAll = time.Minute
)

// awaitAPI returns when the API server that --kubeconfig leads to answers every path with success.
//
// In a node that starts, scheduler and controller manager run before the API server serves and has made its own roles.
// Their caches then fail to fill, and back off for longer and longer: pods wait for seconds until they are scheduled. A
// program that starts a little later has its caches at once.
func awaitAPI(args []string, paths ...string) {
	file := flagValue(args, "kubeconfig")
	if file == "" {
		return
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return // the program itself reports it
	}
	config.Timeout, config.QPS = awaitTry, -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return
	}
	begun := time.Now()
	for time.Since(begun) < awaitAtAll && !answers(client.Discovery().RESTClient(), paths) {
		time.Sleep(awaitEvery)
	}
	klog.InfoS("Waited for the API server", "seconds", time.Since(begun).Seconds())
}

func answers(client rest.Interface, paths []string) bool {
	for _, p := range paths {
		if client.Get().RequestURI(p).Do(context.Background()).Error() != nil {
			return false
		}
	}
	return true
}

// flagValue returns the value of --name=value or --name value.
func flagValue(args []string, name string) string {
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return v
		}
		if a == "--"+name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// awaited lists what the program of that name reads first: once that is granted, all of it is.
func awaited(program string) []string {
	const clientCA = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
	switch program {
	case "kube-controller-manager":
		return []string{"/healthz"}
	case "kube-scheduler":
		return []string{"/api/v1/pods?limit=1", "/apis/storage.k8s.io/v1/volumeattachments?limit=1", clientCA}
	}
	return nil
}

// startWhenReady waits for what the program needs of the API server, if it needs anything.
func startWhenReady(program string) {
	if paths := awaited(program); len(paths) > 0 {
		awaitAPI(os.Args[1:], paths...)
	}
}
