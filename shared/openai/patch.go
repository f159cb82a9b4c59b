package openai

// Patch is what a Body changes in a request. Its zero value changes nothing.
type Patch struct {
	Model        string // the model's new name, inserted where the body has none; "" leaves it as it is
	IncludeUsage bool   // sets stream_options.include_usage to true; ignored unless the request streams
}

// Body applies a patch to the request. Several bodies of one request may be in use at a time.
func (r *Request) Body(p Patch) *Body {
	b := &Body{holds: &r.holds}
	b.Segments = b.array[:0]
	at := 0
	edits, n := r.edits(p)
	for _, e := range edits[:n] {
		b.append(r.body[at:e.where.start])
		b.append(e.text)
		at = e.where.end
	}
	b.append(r.body[at:])
	return b
}

// edit replaces a range of the body by a text.
type edit struct {
	where span
	text  []byte
}

// edits is what a patch does to the body, in the order of the body: at most one insertion at its beginning, one
// change of the model and one of the stream options.
func (r *Request) edits(p Patch) (edits [3]edit, n int) {
	var members []byte // that the body lacks
	var changes [2]edit
	changed := 0
	if p.Model != "" {
		name := appendQuoted(nil, p.Model)
		if r.model.absent() {
			members = append(append(append(members, `"model":`...), name...), ',')
		} else {
			changes[0] = edit{r.model, name}
			changed++
		}
	}
	if p.IncludeUsage && r.Stream && !r.IncludeUsage {
		if r.streamOptions.absent() {
			members = append(members, `"stream_options":{"include_usage":true},`...)
		} else {
			changes[changed] = r.includeUsageEdit()
			changed++
		}
	}
	if len(members) > 0 {
		if r.memberless {
			members = members[:len(members)-1]
		}
		edits[0] = edit{span{r.first, r.first}, members}
		n++
	}
	if changed == 2 && changes[0].where.start > changes[1].where.start {
		changes[0], changes[1] = changes[1], changes[0]
	}
	n += copy(edits[n:], changes[:changed])
	return edits, n
}

// includeUsageEdit sets include_usage in the stream_options that the body has.
func (r *Request) includeUsageEdit() edit {
	inside := r.streamOptions.start + 1
	switch {
	case !r.includeUsage.absent():
		return edit{r.includeUsage, []byte("true")}
	case r.body[r.streamOptions.start] == 'n': // null
		return edit{r.streamOptions, []byte(`{"include_usage":true}`)}
	case r.bare:
		return edit{span{inside, inside}, []byte(`"include_usage":true`)}
	default:
		return edit{span{inside, inside}, []byte(`"include_usage":true,`)}
	}
}
