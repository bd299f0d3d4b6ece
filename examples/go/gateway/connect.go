// Package gateway is what the examples share: a channel, a call's context, errors and amounts.
package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// Connect opens a channel to the gateway that the environment names.
//
// GATEWAY is its address, 127.0.0.1:50051 without it; a name is resolved to all of its
// addresses, and calls go round them. With GATEWAY_CA, a PEM file of authorities, the
// channel uses TLS; with GATEWAY_CERT and GATEWAY_KEY it shows a certificate of its own.
func Connect() (*grpc.ClientConn, error) {
	address := os.Getenv("GATEWAY")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	if !strings.Contains(address, ":///") {
		address = "dns:///" + address
	}
	security, err := transport()
	if err != nil {
		return nil, err
	}
	// Which methods the library may repeat by itself: reads, and none that pays.
	config, err := os.ReadFile("docs/service-config.json")
	if err != nil {
		return nil, err
	}
	return grpc.Dial(address, security,
		grpc.WithDefaultServiceConfig(string(config)),
		// A dead connection is found out also while nothing is called.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                30 * time.Second,
			Timeout:             10 * time.Second,
			PermitWithoutStream: true,
		}))
}

func transport() (grpc.DialOption, error) {
	ca := os.Getenv("GATEWAY_CA")
	if ca == "" {
		return grpc.WithInsecure(), nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(ca + " holds no certificate")
	}
	if cert := os.Getenv("GATEWAY_CERT"); cert != "" {
		own, err := tls.LoadX509KeyPair(cert, os.Getenv("GATEWAY_KEY"))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return grpc.WithTransportCredentials(credentials.NewTLS(config)), nil
}

// Outgoing names the credential of the gateway that a call uses, and who calls when
// GATEWAY_CALLER_KEY is set.
func Outgoing(ctx context.Context, credential string) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-qiwi-credential", credential)
	if key := os.Getenv("GATEWAY_CALLER_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-qiwi-caller-key", key)
	}
	return ctx
}

// Call is the context of one call: its credential and its deadline. A call without a
// deadline may wait for ever; every call here has one.
func Call(credential string, deadline time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(Outgoing(context.Background(), credential), deadline)
}

// Seconds is a duration from a flag such as 5 or 0.5.
func Seconds(given float64) time.Duration {
	return time.Duration(given * float64(time.Second))
}
