//go:build !race

package lease

// small says that the searches are reduced.
const small = false
