//go:build !linux

package main

import (
	"errors"

	"spillway/tests/bench/openloop/seen"
)

// drive needs the timers of Linux.
func drive(plan) (seen.Seen, error) {
	return seen.Seen{}, errors.New("requests can be sent at exact times on Linux only")
}
