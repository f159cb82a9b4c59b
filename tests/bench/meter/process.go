package meter

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the step in which Linux tells processor times.
const tick = 10 * time.Millisecond

var errNotTold = errors.New("the system does not tell it as Linux does")

// ProcessTime returns the processor time, user and system, that a process, those
// that it has started and theirs have used so far, ended ones included, in steps of
// 10 ms.
func ProcessTime(pid int) (time.Duration, error) {
	sum := time.Duration(0)
	for _, one := range family(pid) {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", one))
		if err != nil && one != pid {
			continue // it has ended, and its parent has its time
		}
		if err != nil {
			return 0, err
		}
		used, err := parseStat(string(content))
		if err != nil {
			return 0, fmt.Errorf("the processor time of process %d: %w", one, err)
		}
		sum += used
	}
	return sum, nil
}

// Resident returns the memory in bytes that a process, those that it has started and
// theirs hold.
func Resident(pid int) (float64, error) {
	sum := 0.0
	for _, one := range family(pid) {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", one))
		if err != nil && one != pid {
			continue
		}
		if err != nil {
			return 0, err
		}
		resident, err := parseResident(string(content))
		if err != nil {
			return 0, fmt.Errorf("the memory of process %d: %w", one, err)
		}
		sum += resident
	}
	return sum, nil
}

// Machine is the processor time of a whole machine so far.
type Machine struct {
	// Used is what all processes have used, with what interrupts took: where the system
	// does not tell the two apart, the times of processes hold it, too.
	Used time.Duration
	// Stolen is what a virtual machine wanted and its host gave to others, as far as the
	// host tells; see proc(5).
	Stolen time.Duration
}

// ReadMachine reads the times of this machine.
func ReadMachine() (Machine, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Machine{}, err
	}
	return parseMachine(string(content))
}

// family is a process, those that it has started, and theirs.
func family(pid int) []int {
	all := []int{pid}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // none: it has ended
	for _, task := range tasks {
		content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, field := range strings.Fields(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, family(child)...)
			}
		}
	}
	return all
}

// parseStat reads the times of a process and of its ended children. The name of the
// program, in parentheses, may hold anything.
func parseStat(stat string) (time.Duration, error) {
	const first, last = 11, 14 // utime, stime, cutime, cstime, counted from after the name
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= last {
		return 0, errNotTold
	}
	return ticks(fields[first : last+1])
}

// parseMachine reads the times of all processors that were not idle.
func parseMachine(stat string) (m Machine, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	const interrupts, steal = 6, 8 // after user, nice, system, idle and iowait; then come soft ones
	if len(fields) <= steal || fields[0] != "cpu" {
		return Machine{}, errNotTold
	}
	if m.Used, err = ticks(append(fields[1:4:4], fields[interrupts:steal]...)); err != nil {
		return Machine{}, err
	}
	m.Stolen, err = ticks(fields[steal : steal+1])
	return m, err
}

func ticks(fields []string) (sum time.Duration, err error) {
	for _, field := range fields {
		n, err := strconv.ParseInt(field, 10, 36)
		if err != nil || n < 0 {
			return 0, errNotTold
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

func parseResident(status string) (float64, error) {
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "VmRSS:" && fields[2] == "kB" {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			return kilobytes * 1024, err
		}
	}
	return 0, errNotTold
}
