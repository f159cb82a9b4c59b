package azureopenai

import (
	"fmt"
	"strings"
)

var harms = []string{"harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
	"self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"}

// parseModeration reads "text", ["text", …] or a list of parts with text and
// pictures.
func (r *request) parseModeration(f fields) *serviceError {
	if !f.has("input") {
		return missing("input")
	}
	if text, ok := decode[string](f["input"]); ok {
		r.moderated = []string{text}
	} else if texts, ok := decode[[]string](f["input"]); ok {
		r.moderated = texts
	} else if parts, ok := decode[[]fields](f["input"]); ok {
		var all strings.Builder
		for i, part := range parts {
			kind, problem := part.text("type", "text", "image_url")
			if problem != nil || kind == "" {
				return invalid(fmt.Sprintf("input[%d].type", i), "invalid_value", "Invalid value for 'input[%d].type': expected 'text' or 'image_url'.", i)
			}
			text, _ := part.text("text") // A part without text has a picture.
			all.WriteString(text)
		}
		r.moderated = []string{all.String()} // The parts are judged together.
	} else {
		return f.wrongType("input", "one of a string, array of strings, or array of objects")
	}
	if len(r.moderated) == 0 {
		return invalid("input", "empty_array", "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	r.texts = r.moderated
	return nil
}

// moderate judges each text: violent is what holds Options.FilterWord, else
// nothing is wrong.
func (e *exchange) moderate() error {
	if err := e.pass(0, 0); err != nil {
		return err
	}
	type result struct {
		Flagged    bool                `json:"flagged"`
		Categories map[string]bool     `json:"categories"`
		Scores     map[string]float64  `json:"category_scores"`
		Inputs     map[string][]string `json:"category_applied_input_types"`
	}
	var results []result
	word := e.server.options.FilterWord
	for _, text := range e.request.moderated {
		one := result{word != "" && strings.Contains(text, word), map[string]bool{}, map[string]float64{}, map[string][]string{}}
		for _, harm := range harms {
			one.Categories[harm], one.Scores[harm], one.Inputs[harm] = false, 0.0001, []string{"text"}
		}
		if one.Flagged {
			one.Categories["violence"], one.Scores["violence"] = true, 0.98
		}
		results = append(results, one)
	}
	return e.writeBody(map[string]any{"id": "modr-" + e.dice.name(29), "model": e.deployment.Model, "results": results})
}
