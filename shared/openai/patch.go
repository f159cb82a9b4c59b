package openai

// Patch is what a Body changes in a request. Its zero value changes nothing.
type Patch struct {
	Model        string // the model's new name, inserted where the body has none; "" leaves it as it is
	IncludeUsage bool   // sets stream_options.include_usage to true; ignored unless the request streams choices
	DropPrevious bool   // removes the member previous_response_id of Responses
}

// Body applies a patch to the request. Several bodies of one request may be in use at a time; that of the zero patch, which
// most requests need, is always the same one.
func (r *Request) Body(p Patch) *Body {
	if p == (Patch{}) {
		return &r.whole
	}
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

// maxEdits is how many edits one patch makes. The model and the stream options are of chat completions, the model and
// the response before are of responses, so no more than two members are changed.
const maxEdits = 3

// edit replaces a range of the body by a text.
type edit struct {
	where span
	text  []byte
}

// edits is what a patch does to the body, in the order of the body: at most one insertion at its beginning, and changes
// of the members that it has.
func (r *Request) edits(p Patch) (edits [maxEdits]edit, n int) {
	var inserted []byte // members that the body lacks
	n = 1               // edits[0] is for them
	left := r.memberCount
	if p.DropPrevious && !r.previous.absent() {
		edits[n] = edit{where: r.previous}
		n++
		left--
	}
	if p.Model != "" {
		name := appendQuoted(nil, p.Model)
		if r.model.absent() {
			inserted = append(append(append(inserted, `"model":`...), name...), ',')
		} else {
			edits[n] = edit{r.model, name}
			n++
		}
	}
	if p.IncludeUsage && r.Stream && !r.IncludeUsage && textual.has(r.Operation) {
		if r.streamOptions.absent() {
			inserted = append(inserted, `"stream_options":{"include_usage":true},`...)
		} else {
			edits[n] = r.includeUsageEdit()
			n++
		}
	}
	if n == maxEdits && edits[1].where.start > edits[2].where.start {
		edits[1], edits[2] = edits[2], edits[1]
	}
	if len(inserted) == 0 {
		return [maxEdits]edit{edits[1], edits[2]}, n - 1
	}
	if left == 0 {
		inserted = inserted[:len(inserted)-1]
	}
	edits[0] = edit{span{r.first, r.first}, inserted}
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
