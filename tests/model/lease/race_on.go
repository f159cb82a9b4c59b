//go:build race

package lease

// small says that the searches are reduced. The race detector makes each about
// ten times slower, and there is nothing in them for it to find.
const small = true
