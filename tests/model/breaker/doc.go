// Package breaker searches the breaker's protocol exhaustively: instances with
// wrong clocks that share one row, a store that loses requests, loses answers and
// applies writes late, owners that crash. The transitions are the product's own
// (spillway/shared/breaker/rule); what is modelled here is the shell around them:
// who reads and writes when.
//
// What is left out: a row that is removed, broken or of another format; instances
// that decide alone while the store is down (at most one trial each is promised
// then); a request that its backend goes on with after its instance has died; and
// an instance that is paused between the check of the deadline and the sending,
// against which nothing helps. Time goes in ticks of twice the largest error of a
// clock, so that two clocks differ by at most one.
package breaker
