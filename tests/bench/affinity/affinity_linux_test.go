package affinity

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The halves have no processor in common and leave none out.
func TestHalves(t *testing.T) {
	all, err := usable()
	if err != nil {
		t.Fatal(err)
	}
	drivers, measured, err := Halves()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2 {
		if drivers != nil || measured != nil {
			t.Errorf("a single processor is halved: %v, %v", drivers, measured)
		}
		return
	}
	if !slices.Equal(slices.Concat(drivers, measured), all) || len(measured) != len(all)/2 {
		t.Errorf("got %v and %v, want the halves of %v", drivers, measured, all)
	}
}

// A program stays where it was started, and this process where it was before.
func TestProgramsStayWhereTheyWereStarted(t *testing.T) {
	all, err := usable()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		var told []byte
		err := Set{n}.On(func() (err error) {
			told, err = exec.Command("nproc").Output()
			return err
		})
		if err != nil || strings.TrimSpace(string(told)) != "1" {
			t.Errorf("on processor %d a program may use %q (%v)", n, told, err)
		}
	}
	if now, err := usable(); err != nil || !slices.Equal(now, all) {
		t.Errorf("afterwards this process may use %v (%v), want %v", now, err, all)
	}
}

// What f returns is returned; a processor that there is not is an error.
func TestErrors(t *testing.T) {
	if err := (Set{1 << 9}).On(func() error { return nil }); err == nil {
		t.Error("a processor that there is not can be used")
	}
	want := exec.ErrNotFound
	for _, s := range []Set{nil, {usableFirst(t)}} {
		if err := s.On(func() error { return want }); err != want {
			t.Errorf("%v: got %v, want %v", s, err, want)
		}
	}
}

func usableFirst(t *testing.T) int {
	t.Helper()
	all, err := usable()
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}
