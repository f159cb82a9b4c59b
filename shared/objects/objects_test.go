package objects

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store/memory"
)

// What one instance puts, another one gets, whole; it is there for 30 days unless the
// object says otherwise.
func TestPutAndGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		now := time.Now()
		tests := []struct {
			name             string
			put              Object
			created, expires time.Time
		}{
			{"a response", response("resp_1"), now, now.Add(30 * 24 * time.Hour)},
			{"a file", file("app", "file-1"), now, now.Add(30 * 24 * time.Hour)},
			{"a batch made before", Object{Kind: Batch, ID: "batch_1", Consumer: "app", Backend: "b", Created: now.Add(-time.Hour)},
				now.Add(-time.Hour), now.Add(30*24*time.Hour - time.Hour)},
			{"a short life", Object{Kind: File, ID: "a.b", Consumer: "ünïcode", Backend: "b", Created: now, Expires: now.Add(time.Minute)},
				now, now.Add(time.Minute)},
		}
		for _, test := range tests {
			writer, reader := open(t, table, Options{}), open(t, table, Options{})
			put(t, writer, test.put)
			wanted := test.put
			wanted.Created, wanted.Expires = test.created.UTC(), test.expires.UTC()
			for name, r := range map[string]*Registry{"writer": writer, "reader": reader} {
				if got := want(t, r, test.put, true); got != wanted {
					t.Errorf("%s: the %s gets\n%+v, want\n%+v", test.name, name, got, wanted)
				}
			}
		}
	})
}

// An object is its consumer's and of its kind alone.
func TestOthersAreNotFound(t *testing.T) {
	r := open(t, memory.New(), Options{})
	o := file("app", "x")
	put(t, r, o)
	for name, other := range map[string]Object{
		"another consumer":           {Kind: File, ID: "x", Consumer: "other"},
		"a consumer that begins so":  {Kind: File, ID: "x", Consumer: "ap"},
		"another kind":               {Kind: Batch, ID: "x", Consumer: "app"},
		"a kind that is none":        {Kind: "thread", ID: "x", Consumer: "app"},
		"another ID":                 {Kind: File, ID: "X", Consumer: "app"},
		"no consumer":                {Kind: File, ID: "x"},
		"an ID with a slash":         {Kind: File, ID: "x/../x", Consumer: "app"},
		"the folder above":           {Kind: File, ID: "..", Consumer: "app"},
		"a slash in the consumer":    {Kind: File, ID: "x", Consumer: "file/app"},
		"an ID that is far too long": {Kind: File, ID: strings.Repeat("x", maxName+1), Consumer: "app"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, r, other, false)
			wantFirst(t, r, other, false)
			if err := r.Delete(t.Context(), other.Consumer, other.Kind, other.ID); err != nil {
				t.Errorf("delete: %v", err)
			}
		})
	}
	want(t, r, o, true)
}

// What cannot be kept is refused before anything is written.
func TestInvalidObjects(t *testing.T) {
	s := &hooked{Store: memory.New()}
	r := open(t, s, Options{})
	long := strings.Repeat("x", maxText+1)
	for name, change := range map[string]func(*Object){
		"no ID":              func(o *Object) { o.ID = "" },
		"an ID with a space": func(o *Object) { o.ID = "a b" },
		"no kind":            func(o *Object) { o.Kind = "" },
		"no consumer":        func(o *Object) { o.Consumer = "" },
		"no backend":         func(o *Object) { o.Backend = "" },
		"a long pool":        func(o *Object) { o.Pool = long },
		"a line break":       func(o *Object) { o.Tags = "a=b\n" },
		"no UTF-8":           func(o *Object) { o.Model = "\xff" },
		"a negative sum":     func(o *Object) { o.Estimated = -1 },
		"a life that is over before it began": func(o *Object) {
			o.Created = time.Now()
			o.Expires = o.Created.Add(-time.Second)
		},
		"a time that no store keeps": func(o *Object) { o.Expires = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		o := response("resp_1")
		change(&o)
		wantError(t, name, r.Put(t.Context(), o), ErrInvalid)
	}
	want(t, r, response("resp_1"), false)
}

// An ID is put once. The same object may be put again; one of another backend may not.
func TestPutAgain(t *testing.T) {
	table := memory.New()
	r, other := open(t, table, Options{}), open(t, table, Options{})
	o := response("resp_1")
	put(t, r, o)
	put(t, r, o)
	put(t, other, o)
	elsewhere := o
	elsewhere.Backend = "westus"
	wantError(t, "at another backend", other.Put(t.Context(), elsewhere), ErrTaken)
	elsewhere = o
	elsewhere.Deployment = "gpt-4o-2"
	wantError(t, "at another deployment", r.Put(t.Context(), elsewhere), ErrTaken)
	wantFirst(t, r, o, true)
	put(t, other, o)
	wantFirst(t, other, o, false)
	if got := want(t, other, o, true); got.Pending || got.Backend != "eastus" {
		t.Errorf("it is %+v", got)
	}
	if err := r.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
		t.Fatal(err)
	}
	put(t, r, o)
	want(t, r, o, false)
}

// A deleted object is not found, is not listed, and to delete it again is fine. For an
// hour it can still be settled, by one.
func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		r, other := open(t, table, Options{}), open(t, table, Options{})
		o := file("app", "file-1")
		o.Pending = true
		put(t, r, o)
		want(t, other, o, true)
		for range 2 {
			if err := r.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
				t.Fatal(err)
			}
			want(t, r, o, false)
		}
		if ids := listed(t, other, "app", File); len(ids) > 0 {
			t.Errorf("the list has %v", ids)
		}
		wait(knownFor)
		want(t, other, o, false)
		wantFirst(t, other, o, true)
		wantFirst(t, r, o, false)
	})
}

// An expired object is nowhere, whoever knows it.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		r, other := open(t, table, Options{}), open(t, table, Options{})
		o := file("app", "file-1")
		o.Expires = time.Now().Add(10 * time.Second)
		put(t, r, o)
		wait(10*time.Second - time.Nanosecond)
		want(t, r, o, true)
		want(t, other, o, true)
		wait(time.Nanosecond)
		want(t, r, o, false)
		want(t, other, o, false)
		want(t, open(t, table, Options{}), o, false)
		if ids := listed(t, r, "app", File); len(ids) > 0 {
			t.Errorf("the list has %v", ids)
		}
	})
}

// A list is of one consumer and one kind. Responses are not listed.
func TestList(t *testing.T) {
	r := open(t, memory.New(), Options{})
	for _, o := range []Object{
		file("app", "one"), file("app", "two"), file("app2", "three"), file("ap", "four"),
		{Kind: Batch, ID: "five", Consumer: "app", Backend: "eastus"}, response("six"),
	} {
		put(t, r, o)
	}
	for consumer, wanted := range map[string][2]string{"app": {"one", "two"}, "app2": {"three"}, "none": {}} {
		ids := listed(t, r, consumer, File)
		for _, id := range wanted {
			if id != "" && !ids[id] {
				t.Errorf("the files of %s are %v, want %s among them", consumer, ids, id)
			}
			delete(ids, id)
		}
		if len(ids) > 0 {
			t.Errorf("%s has %v beside", consumer, ids)
		}
	}
	for _, err := range r.List(t.Context(), "app", Response) {
		wantError(t, "responses", err, ErrInvalid)
	}
	for range r.List(t.Context(), "app", File) {
		break // Whoever has seen enough may go.
	}
}

// What a Registry cannot do without is asked for.
func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {Store: memory.New(), Cache: -1}} {
		if r, err := New(o); err == nil {
			t.Errorf("New made %v of %+v", r, o)
		}
	}
}
