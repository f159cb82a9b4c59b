package usage_test

import (
	"slices"
	"strings"
	"testing"

	"spillway/shared/usage"
)

// Tags have one form, in whatever order and with whatever spaces they are written.
func TestParseTags(t *testing.T) {
	longest := strings.Repeat("x", 64)
	for header, want := range map[string]string{
		"":                          "",
		" , ":                       "",
		"project=search":            "project=search",
		"team=web,project=search":   "project=search,team=web",
		" team = web ,,\tproject=a": "project=a,team=web",
		"a-b=1,a=2":                 "a=2,a-b=1",
		"project=" + longest:        "project=" + longest,
		"project=eu/web shop:2.1":   "project=eu/web shop:2.1",
		"team=ops@contoso.com, ":    "team=ops@contoso.com",
	} {
		if got, err := usage.ParseTags(header, []string{"team", "project", "a", "a-b"}); err != nil || got != want {
			t.Errorf("%q is read as %q, %v; want %q", header, got, err, want)
		}
	}
}

// An error says what is wrong, and what to do about it.
func TestParseTagsErrors(t *testing.T) {
	few := []string{"project", "team"}
	many := strings.Split("a,b,c,d,e,f,g,h,i", ",")
	for _, test := range []struct {
		name, header string
		allowed      []string
		want         string
	}{
		{"none are allowed", "project=web", nil, "this consumer may send no tags; leave them out, or list their names under tags in its definition"},
		{"another name", "colour=red", few, `"colour" is no tag of this consumer; take some of project, team`},
		{"twice", "project=a,team=b,project=a", few, "the tag project is there twice; give it one value"},
		{"no value", "project", few, `"project" is no tag; write it as name=value`},
		{"no name", "=web", few, `"=web" is no tag; write it as name=value`},
		{"an empty value", "project= ", few, `"" is not a value of the tag project; write 1 to 64 letters, digits, spaces and . _ : / @ -`},
		{"a value too long", "project=" + strings.Repeat("x", 65), few, `"` + strings.Repeat("x", 60) + `…" is not a value of the tag project; write 1 to 64 letters, digits, spaces and . _ : / @ -`},
		{"signs in a value", "team=R&D", few, `"R&D" is not a value of the tag team; write 1 to 64 letters, digits, spaces and . _ : / @ -`},
		{"letters beyond ASCII in a value", "team=büro", few, `"büro" is not a value of the tag team; write 1 to 64 letters, digits, spaces and . _ : / @ -`},
		{"a name in upper case", "Project=web", few, `"Project" is not the name of a tag; write 1 to 32 lower-case letters, digits and _ -, the first a letter`},
		{"too many", "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1", many, "there are more than 8 tags; leave some out"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := usage.ParseTags(test.header, test.allowed); err == nil || err.Error() != test.want || got != "" {
				t.Errorf("got %q and %v\nwant no tags and %s", got, err, test.want)
			}
		})
	}
}

// Whatever a client writes, its tags are few, short and of allowed names, and their
// canonical form is read as itself; an error is a short line of text.
func FuzzParseTags(f *testing.F) {
	f.Add("project=search, team=web")
	f.Add("team=a,team=b,,=,==")
	f.Add("a=b=c,project=\x00\xff,\t")
	f.Add("project=" + strings.Repeat("x", 100) + strings.Repeat(",", 1000))
	allowed := []string{"project", "team", "a", "a-b"}
	f.Fuzz(func(t *testing.T, header string) {
		canonical, err := usage.ParseTags(header, allowed)
		if err != nil {
			if text := err.Error(); canonical != "" || len(text) > 400 || strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%q: tags %q, error %q", header, canonical, text)
			}
			return
		}
		again, err := usage.ParseTags(canonical, allowed)
		if err != nil || again != canonical || len(canonical) > usage.MaxTagsLength {
			t.Errorf("%q is read as %q, which is read as %q, %v", header, canonical, again, err)
		}
		var names []string
		for part := range strings.SplitSeq(canonical, ",") {
			name, _, ok := strings.Cut(part, "=")
			if canonical != "" && (!ok || !slices.Contains(allowed, name)) {
				t.Errorf("%q is read as %q, with the tag %q", header, canonical, name)
			}
			names = append(names, name)
		}
		if !slices.IsSorted(names) || len(slices.Compact(names)) != strings.Count(canonical, ",")+1 {
			t.Errorf("%q is read as %q, whose names are not sorted, or not told apart", header, canonical)
		}
	})
}

// The longest tags are as long as is said.
func TestMaxTagsLength(t *testing.T) {
	var allowed, tags []string
	for _, letter := range strings.Split("abcdefgh", "") {
		allowed = append(allowed, strings.Repeat(letter, 32))
		tags = append(tags, strings.Repeat(letter, 32)+"="+strings.Repeat("x", 64))
	}
	got, err := usage.ParseTags(strings.Join(tags, ", "), allowed)
	if err != nil || len(got) != usage.MaxTagsLength {
		t.Errorf("the longest tags take %d bytes, %v; want %d", len(got), err, usage.MaxTagsLength)
	}
}

// The time to read the tags of a request.
func BenchmarkParseTags(b *testing.B) {
	allowed := []string{"project", "team", "environment"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := usage.ParseTags("team=web, project=search, environment=production", allowed); err != nil {
			b.Fatal(err)
		}
	}
}
