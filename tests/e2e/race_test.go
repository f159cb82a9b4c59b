//go:build race

package e2e_test

// raceDetector tells that these tests run with the race detector, and so the
// binary does too: a race in it makes it end with exit code 66.
const raceDetector = true
