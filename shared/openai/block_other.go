//go:build !amd64

package openai

// canReadBlocks is false: this processor has no blockRun of its own.
func canReadBlocks() bool { return false }

// blockRun is never asked.
func blockRun([]byte, int) run { return run{} }
