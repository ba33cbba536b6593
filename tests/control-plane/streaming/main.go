// The streaming server of a container runtime, for port-forwarding alone: what a kubelet hands `kubectl port-forward` on to. A pod is an
// address of this machine, which the path names. Its own address is the first line of its output.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// What a kubelet allows by default.
const (
	idle     = 4 * time.Hour
	creation = 30 * time.Second
)

type forwarder struct{}

// PortForward carries one connection, until both sides have said all.
func (forwarder) PortForward(_ context.Context, address, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	pod, err := net.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer pod.Close()
	go func() {
		_, _ = io.Copy(pod, stream)
		_ = pod.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, pod)
	return err
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	http.HandleFunc("/portforward/{address}", func(w http.ResponseWriter, request *http.Request) {
		options, err := portforward.NewV4Options(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		address := request.PathValue("address")
		portforward.ServePortForward(w, request, forwarder{}, address, "", options, idle, creation, portforward.SupportedProtocols)
	})
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}
