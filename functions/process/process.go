// Package process fits Go's runtime to a gateway, whose requests wait long and work little:
// how much garbage may pile up, and how many processors run its code.
package process
