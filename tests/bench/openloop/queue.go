package main

// queue hands numbers out in the order in which they came. It takes no memory after it
// was made.
type queue struct {
	ring        []int
	first, held int
}

// newQueue returns an empty queue with room for so many numbers at a time.
func newQueue(room int) queue { return queue{ring: make([]int, max(room, 1))} }

// push adds a number; there must be room.
func (q *queue) push(n int) {
	q.ring[(q.first+q.held)%len(q.ring)] = n
	q.held++
}

// pop takes the oldest number, if there is any.
func (q *queue) pop() (n int, ok bool) {
	if q.held == 0 {
		return 0, false
	}
	n = q.ring[q.first]
	q.first, q.held = (q.first+1)%len(q.ring), q.held-1
	return n, true
}
