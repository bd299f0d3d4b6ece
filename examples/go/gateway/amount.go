package gateway

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	typev1 "qiwi-gateway/gen/go/qiwi/type/v1"
)

var amount = regexp.MustCompile(`^(\d{1,15})(?:\.(\d{1,2}))?$`)

// Roubles is a Money from exact decimal text; no float on the way.
func Roubles(text string) (*typev1.Money, error) {
	parts := amount.FindStringSubmatch(text)
	if parts == nil {
		return nil, fmt.Errorf("%q is no amount such as 10.50", text)
	}
	units, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return nil, err
	}
	nanos, err := strconv.ParseInt((parts[2] + "000000000")[:9], 10, 32)
	if err != nil {
		return nil, err
	}
	return &typev1.Money{CurrencyCode: "RUB", Units: units, Nanos: int32(nanos)}, nil
}

// Text is the exact decimal text of a Money.
func Text(money *typev1.Money) string {
	units, nanos, sign := money.Units, money.Nanos, ""
	if units < 0 || nanos < 0 {
		units, nanos, sign = -units, -nanos, "-"
	}
	fraction := strings.TrimRight(fmt.Sprintf("%09d", nanos), "0")
	for len(fraction) < 2 {
		fraction += "0"
	}
	return fmt.Sprintf("%s%d.%s %s", sign, units, fraction, money.CurrencyCode)
}
