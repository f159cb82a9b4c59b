package meter

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// The times of a process follow its name, which may look like anything; those of its
// children that have ended are among them.
func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 100 20 3 1 20 0 1 0 12345"
	for _, name := range []string{"(nginx)", "(a) b (c))", "(7 7 7)"} {
		if got, err := parseStat("123 " + name + rest); err != nil || got != 1240*time.Millisecond {
			t.Errorf("%s: got %v, %v; want 1.24 s", name, got, err)
		}
	}
	for _, stat := range []string{"", "1 (a) S 1", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 20 3 1", "1 (a) S 1 2 3 4 5 6 7 8 9 10 -5 20 3 1"} {
		if got, err := parseStat(stat); err == nil {
			t.Errorf("%q is taken for %v", stat, got)
		}
	}
}

func TestParseMachine(t *testing.T) {
	want := Machine{Used: 1790 * time.Millisecond, Stolen: 90 * time.Millisecond}
	if got, err := parseMachine("cpu  100 20 3 9999 9 50 6 9 0 0\ncpu0 1 1 1 1\n"); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, stat := range []string{"", "cpu0 1 2 3", "cpu 1 2 3 4 5 6 7", "cpu 1 2 x 4 5 6 7 8", "cpu 1 2 3 4 5 6 7 x"} {
		if got, err := parseMachine(stat); err == nil {
			t.Errorf("%q is taken for %v", stat, got)
		}
	}
}

func TestParseResident(t *testing.T) {
	if got, err := parseResident("Name:\tspillway\nVmRSS:\t    2048 kB\n"); err != nil || got != 2<<20 {
		t.Errorf("%v, %v; want 2 MiB", got, err)
	}
	for _, status := range []string{"", "VmRSS:\n", "VmRSS: many kB\n", "VmRSS: 3 MB\n"} {
		if got, err := parseResident(status); err == nil {
			t.Errorf("%q is taken for %v bytes", status, got)
		}
	}
}

// What a child of a process uses, while it runs and when it has ended, counts as the
// process's own.
func TestFamilyIsCounted(t *testing.T) {
	command := exec.CommandContext(t.Context(), "sh", "-c", "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; read line")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for used := time.Duration(0); used < 5*tick; {
		if used, err = ProcessTime(command.Process.Pid); err != nil {
			t.Fatalf("%v; its child has used too little", err)
		}
	}
	if memory, err := Resident(command.Process.Pid); err != nil || memory <= 0 {
		t.Errorf("memory: %v, %v", memory, err)
	}
	_ = input.Close()
	_ = command.Wait() // it ends because there is no line
	if _, err := ProcessTime(command.Process.Pid); err == nil {
		t.Error("a process that has ended has a time")
	}
}

func TestMachineIsAtLeastAsBusyAsThisProcess(t *testing.T) {
	machine, err := ReadMachine()
	if err != nil || machine.Used < ProcessorTime()-time.Second || machine.Stolen < 0 {
		t.Errorf("%v, %v; this process has used %v", machine, err, ProcessorTime())
	}
	if _, err := ProcessTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("123 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 1 20")
	f.Add("cpu  100 20 3 9999 9 9 9 9\n")
	f.Add("VmRSS:\t    2048 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if used, err := parseStat(text); err == nil && used < 0 {
			t.Errorf("parseStat(%q) = %v", text, used)
		}
		if machine, err := parseMachine(text); err == nil && (machine.Used < 0 || machine.Stolen < 0) {
			t.Errorf("parseMachine(%q) = %v", text, machine)
		}
		_, _ = parseResident(text)
	})
}
