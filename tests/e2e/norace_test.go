//go:build !race

package e2e_test

// raceDetector tells that these tests run with the race detector.
const raceDetector = false
