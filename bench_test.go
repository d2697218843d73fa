package rawshake

import (
	"context"
	"testing"
	"time"

	"github.com/rawshake/rawshake/internal/loopback"
)

// BenchmarkCheckAddr checks ports on loopback, with one caller and with many.
func BenchmarkCheckAddr(b *testing.B) {
	for _, method := range []Method{MethodConnect, MethodRaw} {
		open, _ := loopback.Open(b, "127.0.0.1:0")
		for state, addr := range map[string]string{"open": open, "closed": loopback.Closed(b, "127.0.0.1:0")} {
			c := NewCheckerConfig(Config{Method: method})
			go c.CheckingLoop(context.Background())
			<-c.WaitReady()
			defer c.Close()
			check := func() {
				if err := c.CheckAddr(addr, 5*time.Second); (err == nil) != (state == "open") {
					b.Errorf("%s port: %v", state, err)
				}
			}
			b.Run(method.String()+"/"+state+"/1", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					check()
				}
			})
			b.Run(method.String()+"/"+state+"/many", func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(100)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						check()
					}
				})
			})
		}
	}
}

// BenchmarkNewChecker is the whole life of a Checker whose engine is open.
func BenchmarkNewChecker(b *testing.B) {
	keep := NewCheckerConfig(Config{Method: MethodConnect})
	go keep.CheckingLoop(context.Background())
	<-keep.WaitReady()
	defer keep.Close()
	b.ReportAllocs()
	for b.Loop() {
		c := NewCheckerConfig(Config{Method: MethodConnect})
		go c.CheckingLoop(context.Background())
		<-c.WaitReady()
		c.Close()
	}
}
