package objects

import (
	"errors"
	"strings"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// Rows are where every version looks for them.
func TestWhereRowsAre(t *testing.T) {
	for _, test := range []struct {
		key  key
		want store.Key
	}{
		{key{Response, "app", "resp_1"}, store.Key{Partition: "object/37/response/app", Row: "resp_1"}},
		{key{Response, "other", "resp_1"}, store.Key{Partition: "object/37/response/other", Row: "resp_1"}},
		{key{Response, "app", "resp_2"}, store.Key{Partition: "object/ca/response/app", Row: "resp_2"}},
		{key{File, "app", "file-1"}, store.Key{Partition: "object/2c/file/app", Row: "file-1"}},
		{key{File, "app", "file-2"}, store.Key{Partition: "object/2c/file/app", Row: "file-2"}},
		{key{Batch, "app", "batch_1"}, store.Key{Partition: "object/2c/batch/app", Row: "batch_1"}},
	} {
		if got := test.key.row(); got != test.want {
			t.Errorf("%+v is at %+v, want %+v", test.key, got, test.want)
		}
	}
}

// Responses are spread evenly over the parts.
func TestPartsAreEven(t *testing.T) {
	const each = 200
	var counts [parts]int
	random := seeded(1, 1)
	for range each * parts {
		id := make([]byte, 24)
		for i := range id {
			id[i] = "0123456789abcdef"[random(16)]
		}
		counts[partOf("resp_"+string(id))]++
	}
	for part, n := range counts {
		if n < each/2 || n > each*2 {
			t.Errorf("part %02x has %d, want about %d", part, n, each)
		}
	}
}

// A row that somebody else wrote, or a newer version, is an error and no object. It is
// not listed, settled, deleted, taken over or swept.
func TestForeignRows(t *testing.T) {
	for name, change := range map[string]func(store.Columns){
		"a newer format":    func(c store.Columns) { c[columnFormat] = format + 1 },
		"no format":         func(c store.Columns) { delete(c, columnFormat) },
		"another type":      func(c store.Columns) { c[columnPending] = "true" },
		"no backend":        func(c store.Columns) { delete(c, columnBackend) },
		"a control":         func(c store.Columns) { c[columnTags] = "a=b\r\nb=c" },
		"a long text":       func(c store.Columns) { c[columnModel] = strings.Repeat("m", maxText+1) },
		"a negative number": func(c store.Columns) { c[columnEstimated] = int64(-1) },
		"no creation":       func(c store.Columns) { delete(c, columnCreated) },
		"no expiry":         func(c store.Columns) { delete(c, columnExpires) },
	} {
		t.Run(name, func(t *testing.T) {
			table := memory.New()
			r := open(t, table, Options{})
			o := file("app", "file-1")
			now := time.Now().Add(-100 * Keep)
			columns := complete(o, now).columns()
			change(columns)
			if _, err := table.Insert(t.Context(), keyOf(o).row(), columns); err != nil {
				t.Fatal(err)
			}
			_, found, err := r.Get(t.Context(), o.Consumer, o.Kind, o.ID)
			if found || !errors.Is(err, ErrBroken) {
				t.Errorf("get: %v, %v", found, err)
			}
			_, err = r.Settle(t.Context(), o)
			wantError(t, "settle", err, ErrBroken)
			wantError(t, "put", r.Put(t.Context(), o), ErrBroken)
			wantError(t, "delete", r.Delete(t.Context(), o.Consumer, o.Kind, o.ID), ErrBroken)
			if ids := listed(t, r, "app", File); len(ids) > 0 {
				t.Errorf("the list has %v", ids)
			}
			if _, err := r.sweepPart(t.Context(), partOf("app")); err != nil {
				t.Error(err)
			}
			_, err = table.Get(t.Context(), keyOf(o).row())
			if swept := err != nil; swept && columns[columnFormat] != format {
				t.Error("a row of another format was swept")
			}
		})
	}
}

// Settling and deleting change nothing else in a row, not even what this version does
// not know.
func TestUnknownColumnsStay(t *testing.T) {
	table := memory.New()
	o := response("resp_1")
	columns := complete(o, time.Now()).columns()
	columns["Further"] = "kept"
	if _, err := table.Insert(t.Context(), keyOf(o).row(), columns); err != nil {
		t.Fatal(err)
	}
	r := open(t, table, Options{})
	wantFirst(t, r, o, true)
	if err := r.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
		t.Fatal(err)
	}
	row, err := table.Get(t.Context(), keyOf(o).row())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range columns {
		if name != columnPending && name != columnExpires && row.Columns[name] != value {
			if at, ok := value.(time.Time); ok && at.Truncate(store.TimeResolution).Equal(row.Columns[name].(time.Time)) {
				continue
			}
			t.Errorf("%s was %v and is %v", name, value, row.Columns[name])
		}
	}
}

// FuzzRow: whatever a row holds, it is refused, or is an object that can be written
// and read again as the same.
func FuzzRow(f *testing.F) {
	f.Add(format, "eastus", "gpt-4o-1", "gpt-4o", "main", int64(0), int64(1), int64(1200), "a=b", "nonce", uint8(0))
	f.Add(format, "", "", "", "", int64(-1), int64(-2), int64(-3), "\x00", "\xff", uint8(1))
	f.Add(format+1, "b", "", "", "", int64(1<<62), int64(-1<<62), int64(1<<62), "", "", uint8(2))
	f.Add(int64(0), "b", "\u2028", "\ufeff", "\u202e", int64(1), int64(1), int64(0), "", "", uint8(255))
	f.Fuzz(func(t *testing.T, version int64, backend, deployment, model, pool string,
		created, expires, estimated int64, tags, nonce string, shape uint8,
	) {
		columns := store.Columns{
			columnFormat: version, columnBackend: backend, columnDeployment: deployment, columnModel: model, columnPool: pool,
			columnCreated: time.Unix(0, created), columnExpires: time.Unix(0, expires), columnEstimated: estimated,
			columnTags: tags, columnNonce: nonce,
			columnPending: shape&1 > 0, columnSpilled: shape&2 > 0, columnDeleted: shape&4 > 0,
		}
		if shape&8 > 0 {
			columns[columnEstimated] = tags
		}
		if shape&16 > 0 {
			columns[columnExpires] = expires
		}
		if shape&32 > 0 {
			delete(columns, columnBackend)
		}
		columns, err := columns.Copy()
		if err != nil {
			t.Skip("no store keeps it")
		}
		k := key{Response, "app", "resp_1"}
		_ = removable(columns, time.Now())
		rec, err := decode(k, columns)
		if err != nil {
			if !errors.Is(err, ErrBroken) || rec != nil {
				t.Fatalf("%v, %v", rec, err)
			}
			return
		}
		again, err := decode(k, rec.columns())
		if err != nil {
			t.Fatal(err)
		}
		again.nonce, again.deleted = rec.nonce, rec.deleted
		if *again != *rec {
			t.Fatalf("%+v became %+v", rec, again)
		}
		after, err := decode(k, deleted(settled(columns, "n"), rec, time.Unix(0, created/2)))
		if err != nil || after.Pending || !after.deleted || after.nonce != "n" || after.Backend != rec.Backend {
			t.Fatalf("settled and deleted it is %+v, %v", after, err)
		}
	})
}

// FuzzID: an ID is safe in a path, and what cannot be one is never looked up.
func FuzzID(f *testing.F) {
	for _, id := range []string{"resp_1", "file-0a", "", ".", "..", "...", "a/b", "a%2fb", "é", "a\x00", strings.Repeat("x", 257)} {
		f.Add(id)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	f.Fuzz(func(t *testing.T, id string) {
		s := &hooked{Store: memory.New()}
		r := open(t, s, Options{})
		o := file("app", id)
		plain := id != "" && len(id) <= 256 && strings.Trim(id, letters) == "" && id != "." && id != ".."
		want(t, r, o, false)
		if asked := s.reads() > 0; asked != plain {
			t.Errorf("%q: looked up %v, want %v", id, asked, plain)
		}
		if err := r.Put(t.Context(), o); (err == nil) != plain {
			t.Errorf("%q: put says %v", id, err)
		}
		want(t, r, o, plain)
	})
}
