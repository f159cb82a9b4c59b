// Package affinity gives processes processors of their own, so that those that are
// measured do not share them with those that drive them.
package affinity

// Set is some of the machine's processors, by their numbers. An empty one is no bound.
type Set []int

// Halves are two sets that have no processor in common: half of what this process may use
// for those that are measured, and the others, which are as many or one more, for those
// that drive them. Both are empty where there is a single processor, or where the system
// is not asked: on others than Linux.
func Halves() (drivers, measured Set, err error) {
	all, err := usable()
	if err != nil || len(all) < 2 {
		return nil, nil, err
	}
	n := (len(all) + 1) / 2
	return all[:n], all[n:], nil
}
