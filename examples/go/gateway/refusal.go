package gateway

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Refusal is an error of a call in terms a program can act on.
type Refusal struct {
	Code codes.Code
	// Reason is what to branch on. Empty when the gateway did not answer: a lost
	// connection, a proxy, the client's own deadline.
	Reason string
	// Metadata has `paymentState`, `upstreamSent` and what else the reason comes with.
	Metadata map[string]string
	// Fields are those of the request that are wrong, each with what is wrong with it.
	Fields []string
	// RetryAfter says when the same request may succeed; nil when it says nothing.
	RetryAfter *time.Duration
	RequestID  string
	// Text is for people: in Russian where there is one.
	Text string
}

// Understand reads the details that came with an error.
func Understand(err error) Refusal {
	// Details of unknown types come back as errors among the details, and are passed over.
	answer := status.Convert(err)
	found := Refusal{Code: answer.Code(), Text: answer.Message()}
	for _, detail := range answer.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found.Reason, found.Metadata = detail.Reason, detail.Metadata
		case *errdetails.BadRequest:
			for _, of := range detail.FieldViolations {
				found.Fields = append(found.Fields, of.Field+": "+of.Description)
			}
		case *errdetails.RetryInfo:
			after := detail.RetryDelay.AsDuration()
			found.RetryAfter = &after
		case *errdetails.RequestInfo:
			found.RequestID = detail.RequestId
		case *errdetails.LocalizedMessage:
			found.Text = detail.Message
		}
	}
	return found
}

// Name is the code as the gRPC documents write it, such as INVALID_ARGUMENT.
func (of Refusal) Name() string {
	name := of.Code.String()
	var words strings.Builder
	for at, letter := range name {
		if at > 0 && letter >= 'A' && letter <= 'Z' && name[at-1] > 'Z' {
			words.WriteByte('_')
		}
		words.WriteRune(letter)
	}
	return strings.ToUpper(words.String())
}

// String is one line for a log. The request id finds the call in the gateway's own log.
func (of Refusal) String() string {
	if of.Reason == "" {
		return of.Name() + " " + of.Text
	}
	parts := append([]string{of.Name(), of.Reason}, of.Fields...)
	if of.RetryAfter != nil {
		parts = append(parts, fmt.Sprintf("again in %d ms", of.RetryAfter.Milliseconds()))
	}
	return strings.Join(append(parts, "request "+of.RequestID), " | ")
}
