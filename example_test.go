package rawshake_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	tcp "github.com/rawshake/rawshake"
)

// A program that was written for tcp-shaker needs only another import path.
func ExampleChecker() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	c := tcp.NewCheckerConfig(tcp.Config{Method: tcp.MethodAuto}) // NewChecker() insists on raw packets
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		if err := c.CheckingLoop(ctx); err != nil {
			log.Println("checking loop stopped:", err)
		}
	}()
	<-c.WaitReady()

	switch err := c.CheckAddr(server.Addr().String(), time.Second); err {
	case tcp.ErrTimeout:
		fmt.Println("no answer within a second")
	case nil:
		fmt.Println("the server answers")
	default:
		fmt.Println("it does not:", err)
	}
	// Output: the server answers
}
