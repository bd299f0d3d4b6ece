// Follows the transactions of a wallet: each exactly once, whatever breaks in between.
//
// From the root of the repository, against `qiwi-gateway serve --sandbox`, after
// docs/callers.md told how to generate gen/go:
//
//	go run ./examples/go/follow_events FILE
//
// FILE keeps the events together with the cursor. The program may be killed at any
// moment: started again it goes on where it was, with what came meanwhile. An information
// token suffices. The environment says where the gateway is; see gateway.Connect.
package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"qiwi-gateway/examples/go/gateway"
	eventsv1 "qiwi-gateway/gen/go/qiwi/events/v1"
)

const credential = "demo-info"

// A stream that is silent for three heartbeats is taken for dead.
const heartbeat = 15 * time.Second

const firstPause, longestPause = 200 * time.Millisecond, 30 * time.Second

// After these another stream may go on from the same place.
var again = map[codes.Code]bool{
	codes.Unavailable:       true,
	codes.ResourceExhausted: true,
	codes.DeadlineExceeded:  true,
	codes.Canceled:          true,
	codes.Unknown:           true,
	codes.Internal:          true,
}

// The log no longer holds what follows the cursor, or is another log.
var lostPlace = map[string]bool{"CURSOR_EXPIRED": true, "LOG_REWOUND": true}

func anchor(of eventsv1.LogAnchor) *eventsv1.LogPosition {
	return &eventsv1.LogPosition{Position: &eventsv1.LogPosition_Anchor{Anchor: of}}
}

func behind(cursor []byte) *eventsv1.LogPosition {
	return &eventsv1.LogPosition{Position: &eventsv1.LogPosition_Cursor{Cursor: cursor}}
}

// stream follows one stream until it ends; `heard` is called after each response.
func stream(stub eventsv1.EventServiceClient, start *eventsv1.LogPosition, kept *journal, heard func()) error {
	// A stream has no deadline. The watch ends one that has fallen silent.
	ctx, cancel := context.WithCancel(gateway.Outgoing(context.Background(), credential))
	defer cancel()
	watch := time.AfterFunc(3*heartbeat, cancel)
	defer watch.Stop()

	responses, err := stub.Subscribe(ctx, &eventsv1.SubscribeRequest{
		Filter:            &eventsv1.EventFilter{Kinds: []eventsv1.EventKind{eventsv1.EventKind_EVENT_KIND_TRANSACTION}},
		Start:             start,
		HeartbeatInterval: durationpb.New(heartbeat),
	})
	if err != nil {
		return err
	}
	for {
		response, err := responses.Recv()
		if err != nil {
			return err
		}
		watch.Reset(3 * heartbeat)
		// Heartbeats move the place as well.
		what := entry{Cursor: response.Cursor, Events: []handled{}}
		for _, event := range response.Events {
			// A log that was filled again repeats events under the ids they had.
			if !kept.known[event.EventId] {
				id := event.GetTransaction().GetTransactionId()
				what.Events = append(what.Events, handled{event.EventId, event.Sequence, id})
			}
		}
		if err := kept.keep(what); err != nil {
			// Going on without the disk would lose the place.
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, event := range what.Events {
			fmt.Println(event.EventID, event.TransactionID)
		}
		heard()
	}
}

// follow opens another stream when one ends, from the last place that was kept.
func follow(stub eventsv1.EventServiceClient, kept *journal) gateway.Refusal {
	pause := firstPause
	start := anchor(eventsv1.LogAnchor_LOG_ANCHOR_LATEST)
	if kept.cursor != nil {
		start = behind(kept.cursor)
	}
	for {
		err := stream(stub, start, kept, func() {
			start, pause = behind(kept.cursor), firstPause
		})
		refusal := gateway.Understand(err)
		if lostPlace[refusal.Reason] {
			// From the oldest event that is left; those handled before are known.
			start = anchor(eventsv1.LogAnchor_LOG_ANCHOR_EARLIEST)
		} else if !again[refusal.Code] {
			return refusal
		}
		wait := time.Duration(float64(pause) * (0.5 + rand.Float64()/2))
		if refusal.RetryAfter != nil && *refusal.RetryAfter > wait {
			wait = *refusal.RetryAfter
		}
		fmt.Fprintf(os.Stderr, "%s: another stream in %.1f s\n", refusal, wait.Seconds())
		time.Sleep(wait)
		if pause *= 2; pause > longestPause {
			pause = longestPause
		}
	}
}

func run(path string) error {
	kept, err := openJournal(path)
	if err != nil {
		return err
	}
	channel, err := gateway.Connect()
	if err != nil {
		return err
	}
	defer channel.Close()
	return fmt.Errorf("refused: %s", follow(eventsv1.NewEventServiceClient(channel), kept))
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: follow_events FILE")
		os.Exit(1)
	}
	rand.Seed(time.Now().UnixNano())
	fmt.Fprintln(os.Stderr, run(os.Args[1]))
	os.Exit(1)
}
