// Reads a wallet: its balances and its last transactions, with a deadline for each call.
//
// From the root of the repository, against `qiwi-gateway serve --sandbox`, after
// docs/callers.md told how to generate gen/go:
//
//	go run ./examples/go/read_wallet [--deadline 5] [--page-size 3] [--wait 10]
//
// The environment says where the gateway is; see gateway.Connect.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"

	"qiwi-gateway/examples/go/gateway"
	walletv1 "qiwi-gateway/gen/go/qiwi/wallet/v1"
)

// Which of the gateway's credentials to use; its token never leaves the gateway.
const credential = "demo"

// How often a call is made that the gateway asks to make later.
const attempts = 5

var (
	deadline = flag.Float64("deadline", 5, "seconds for one call")
	pageSize = flag.Int("page-size", 3, "how many transactions")
	wait     = flag.Float64("wait", 10, "longest wait in seconds when the gateway asks for one")
)

// patiently calls, and calls again after the delay that the gateway's refusal names.
// QIWI blocks a wallet that is asked too often, so the gateway paces all callers together.
func patiently(call func() error) error {
	for attempt := 1; ; attempt++ {
		err := call()
		if err == nil {
			return nil
		}
		after := gateway.Understand(err).RetryAfter
		if after == nil || *after > gateway.Seconds(*wait) || attempt == attempts {
			return err
		}
		time.Sleep(*after)
	}
}

func balances(channel *grpc.ClientConn) error {
	stub := walletv1.NewBalanceServiceClient(channel)
	return patiently(func() error {
		// The gateway gives up shortly before the deadline, so that an answer with
		// details arrives and not a bare timeout.
		ctx, done := gateway.Call(credential, gateway.Seconds(*deadline))
		defer done()
		reply, err := stub.ListBalances(ctx, &walletv1.ListBalancesRequest{})
		if err != nil {
			return err
		}
		for _, balance := range reply.Balances {
			// An absent amount is one QIWI did not tell, as for linked phones; it is not zero.
			if balance.Amount == nil {
				fmt.Println(balance.Alias, "(not told)")
			} else {
				fmt.Println(balance.Alias, gateway.Text(balance.Amount))
			}
		}
		return nil
	})
}

func transactions(channel *grpc.ClientConn) error {
	stub := walletv1.NewHistoryServiceClient(channel)
	request := &walletv1.ListTransactionsRequest{PageSize: int32(*pageSize)}
	return patiently(func() error {
		ctx, done := gateway.Call(credential, gateway.Seconds(*deadline))
		defer done()
		page, err := stub.ListTransactions(ctx, request)
		if err != nil {
			return err
		}
		for _, of := range page.Transactions {
			fmt.Println(of.TransactionTime.GetRaw(), of.TypeRaw, of.StatusRaw, gateway.Text(of.Amount))
		}
		fmt.Println(len(page.Transactions), "transactions")
		return nil
	})
}

func run() error {
	channel, err := gateway.Connect()
	if err != nil {
		return err
	}
	defer channel.Close()
	if err := balances(channel); err != nil {
		return err
	}
	return transactions(channel)
}

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "failed:", gateway.Understand(err))
		os.Exit(1)
	}
}
