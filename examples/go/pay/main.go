// Pays for an order from a QIWI wallet to another one: once, whatever happens in between.
//
// From the root of the repository, against `qiwi-gateway serve --sandbox`, after
// docs/callers.md told how to generate gen/go:
//
//	go run ./examples/go/pay ORDER WALLET AMOUNT
//	go run ./examples/go/pay order-17 79990000002 10.50
//
// ORDER is your own name for what is paid. Started again with the same order, after a
// crash or a power cut as well, the program goes on with the payment it had begun.
//
// Exit status: 0 paid, 1 not paid, 2 not known yet: start it again with the same order.
// What is not paid for good, because QIWI refused it, is paid as another order.
// The environment says where the gateway is; see gateway.Connect.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"qiwi-gateway/examples/go/gateway"
	walletv1 "qiwi-gateway/gen/go/qiwi/wallet/v1"
)

// Which of the gateway's credentials pays; its token never leaves the gateway.
const credential = "demo"

// The pause before a repeat: doubled each time, and never shorter than the gateway asks for.
const firstPause, longestPause = 500 * time.Millisecond, 30 * time.Second

// Without an answer of the gateway these may mean anything: the payment may be made.
var noAnswer = map[codes.Code]bool{
	codes.Unavailable:       true,
	codes.DeadlineExceeded:  true,
	codes.Canceled:          true,
	codes.Unknown:           true,
	codes.Internal:          true,
	codes.ResourceExhausted: true,
}

// In these states, named by errors, nothing was paid and nothing will be.
var notPaid = map[string]bool{"REJECTED": true, "NOT_EXECUTED": true}

// errUnsettled says that there was not enough time to learn how the payment ended.
var errUnsettled = errors.New("not known yet")

// worthRepeating tells whether the very same request with the same id is the right thing to send.
func worthRepeating(of gateway.Refusal) bool {
	if of.Reason == "" {
		return noAnswer[of.Code]
	}
	if notPaid[of.Metadata["paymentState"]] {
		return false
	}
	// RetryInfo says that the same request may succeed later.
	return of.RetryAfter != nil || of.Code == codes.Internal ||
		of.Reason == "PAYMENT_OUTCOME_UNKNOWN" || of.Reason == "PAYMENT_IN_PROGRESS"
}

// patiently calls until there is an answer to keep.
func patiently(until time.Time, call func() error) error {
	pause := firstPause
	for {
		err := call()
		if err == nil {
			return nil
		}
		refusal := gateway.Understand(err)
		if !worthRepeating(refusal) {
			return err
		}
		// Not all at the same moment: others lost the same connection.
		wait := time.Duration(float64(pause) * (0.5 + rand.Float64()/2))
		if refusal.RetryAfter != nil && *refusal.RetryAfter > wait {
			wait = *refusal.RetryAfter
		}
		reason := refusal.Reason
		if reason == "" {
			reason = refusal.Name()
		}
		if time.Now().Add(wait).After(until) {
			return fmt.Errorf("%w (%s)", errUnsettled, reason)
		}
		fmt.Fprintf(os.Stderr, "%s: the same id again in %.1f s\n", reason, wait.Seconds())
		time.Sleep(wait)
		if pause *= 2; pause > longestPause {
			pause = longestPause
		}
	}
}

// pay makes the payment, or learns what became of it if it was made before.
func pay(stub walletv1.PaymentServiceClient, of order, given flags, until time.Time) (*walletv1.Payment, error) {
	amount, err := gateway.Roubles(of.Amount)
	if err != nil {
		return nil, err
	}
	request := &walletv1.CreatePaymentRequest{
		PaymentId: of.PaymentID,
		Payment: &walletv1.PaymentSpec{
			Amount:      amount,
			Destination: &walletv1.PaymentSpec_Wallet{Wallet: &walletv1.WalletDestination{Wallet: of.Wallet}},
			Comment:     of.Name,
		},
		Reattempt: given.reattempt,
	}
	var payment *walletv1.Payment
	err = patiently(until, func() error {
		ctx, done := gateway.Call(credential, gateway.Seconds(given.deadline))
		defer done()
		reply, err := stub.CreatePayment(ctx, request)
		payment = reply.GetPayment()
		return err
	})
	return payment, err
}

// settled waits until the payment has succeeded or failed: accepted is not executed.
func settled(stub walletv1.PaymentServiceClient, payment *walletv1.Payment, until time.Time) (*walletv1.Payment, error) {
	request := &walletv1.GetPaymentRequest{PaymentId: payment.PaymentId}
	for !final(payment.State) {
		if time.Now().After(until) {
			return nil, fmt.Errorf("%w (%s)", errUnsettled, payment.State)
		}
		time.Sleep(time.Second)
		err := patiently(until, func() error {
			ctx, done := gateway.Call(credential, 10*time.Second)
			defer done()
			reply, err := stub.GetPayment(ctx, request)
			if err == nil {
				payment = reply.Payment
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return payment, nil
}

func final(state walletv1.PaymentState) bool {
	return state == walletv1.PaymentState_PAYMENT_STATE_SUCCEEDED ||
		state == walletv1.PaymentState_PAYMENT_STATE_FAILED
}

type flags struct {
	orders             string
	deadline, patience float64
	reattempt          bool
}

// run pays and returns the exit status.
func run(given flags, name, wallet, amount string) (int, error) {
	until := time.Now().Add(gateway.Seconds(given.patience))
	// What is no amount is refused before it is kept.
	if _, err := gateway.Roubles(amount); err != nil {
		return 1, err
	}
	channel, err := gateway.Connect()
	if err != nil {
		return 1, err
	}
	defer channel.Close()
	// First the id goes to the disk, then the call is made.
	order, err := takeOrder(given.orders, name, wallet, amount)
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "%s is payment %s\n", order.Name, order.PaymentID)
	stub := walletv1.NewPaymentServiceClient(channel)
	payment, err := pay(stub, order, given, until)
	if err == nil {
		payment, err = settled(stub, payment, until)
	}
	if errors.Is(err, errUnsettled) {
		return 2, fmt.Errorf("%w: start again with the same order", err)
	}
	if err != nil {
		return refused(gateway.Understand(err))
	}
	state := strings.TrimPrefix(payment.State.String(), "PAYMENT_STATE_")
	fmt.Println(payment.PaymentId, state, gateway.Text(payment.Amount), payment.GetTransactionId())
	if payment.State != walletv1.PaymentState_PAYMENT_STATE_SUCCEEDED {
		return 1, errors.New("failed: " + payment.GetError().GetMessageRu())
	}
	return 0, nil
}

// refused says why a call was refused. Only some refusals mean that nothing was paid.
func refused(of gateway.Refusal) (int, error) {
	err := fmt.Errorf("refused: %s: %s", of, of.Text)
	if notPaid[of.Metadata["paymentState"]] || of.Code == codes.InvalidArgument {
		return 1, err
	}
	return 2, err
}

func main() {
	var given flags
	flag.StringVar(&given.orders, "orders", "orders", "the folder that keeps the ids")
	flag.Float64Var(&given.deadline, "deadline", 30, "seconds for one call")
	flag.Float64Var(&given.patience, "patience", 300, "seconds for everything")
	flag.BoolVar(&given.reattempt, "reattempt", false, "after NOT_EXECUTED only")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: pay [flags] ORDER WALLET AMOUNT")
		os.Exit(1)
	}
	rand.Seed(time.Now().UnixNano())
	status, err := run(given, flag.Arg(0), flag.Arg(1), flag.Arg(2))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}
