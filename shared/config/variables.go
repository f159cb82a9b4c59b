package config

import (
	"fmt"
	"regexp"
	"strings"
)

// lookup reads an environment variable, as os.LookupEnv does.
type lookup = func(name string) (value string, set bool)

// variableName is what may stand between "${" and "}".
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expansion is a text whose variables were substituted.
type expansion struct {
	text string
	// variables tells that the text holds the value of one, so that it must
	// not be shown.
	variables bool
}

// expand substitutes ${NAME} by the value of the environment variable NAME,
// once: a value is never searched for further variables. $${ stands for the
// characters ${. With a nil env no text may hold a variable.
func expand(text string, env lookup) (expansion, *fault) {
	var result expansion
	var out strings.Builder
	var unset []string
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			break
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed || !variableName.MatchString(name) {
			return result, &fault{`"${" is not followed by the name of a variable and "}"`,
				`write ${NAME} with letters, digits and _, or $${ for the characters themselves`}
		}
		if env == nil {
			return result, &fault{"holds a variable, and variables are not read here", "write the value itself, or $${ for the characters ${"}
		}
		value, set := env(name)
		if !set {
			unset = append(unset, name)
		}
		result.variables = true
		out.WriteString(value)
		text = rest
	}
	switch len(unset) {
	case 0:
		result.text = out.String()
		return result, nil
	case 1:
		return result, &fault{fmt.Sprintf("the environment variable %s is not set", unset[0]), "set it"}
	}
	return result, &fault{fmt.Sprintf("the environment variables %s are not set", strings.Join(unset, ", ")), "set them"}
}
