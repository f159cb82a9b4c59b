package infra

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What the function and its URL must be for the program to work.
func TestTheFunctionStreams(t *testing.T) {
	template := samTemplate(t)
	tests := []struct{ path, want string }{
		{"Resources.Gateway.Type", "AWS::Serverless::Function"},
		{"Resources.Gateway.Properties.Runtime", "provided.al2023"},
		{"Resources.Gateway.Properties.Handler", "bootstrap"},
		{"Resources.Gateway.Properties.Timeout", "900"},
		{"Resources.Gateway.Properties.FunctionUrlConfig.InvokeMode", "RESPONSE_STREAM"},
		{"Resources.Gateway.Properties.Events.Maintenance.Type", "ScheduleV2"},
		// A schedule's name is unique in an account and region: without the stack's
		// name in it, a second stack fails.
		{"Resources.Gateway.Properties.Events.Maintenance.Properties.Name", "${AWS::StackName}-maintenance"},
	}
	for _, test := range tests {
		if got := at(template, test.path); got == nil || got.Value != test.want {
			t.Errorf("%s is %+v, want %s", test.path, got, test.want)
		}
	}
	architectures := at(template, "Resources.Gateway.Properties.Architectures")
	if architectures == nil || len(architectures.Content) != 1 || architectures.Content[0].Value != "arm64" {
		t.Errorf("Architectures %+v, want arm64", architectures)
	}
}

func TestReferencesOfTheSamTemplate(t *testing.T) {
	template := samTemplate(t)
	parameters, conditions, resources := keys(at(template, "Parameters")), keys(at(template, "Conditions")), keys(at(template, "Resources"))
	referable := slices.Concat(parameters, resources)
	used := map[string]bool{}
	refer := func(node *yaml.Node, name string, allowed []string) {
		used[name] = true
		if !strings.HasPrefix(name, "AWS::") && !slices.Contains(allowed, name) {
			t.Errorf("template.yaml:%d: %s is not declared", node.Line, name)
		}
	}
	walk(template, func(node *yaml.Node) {
		switch node.Tag {
		case "!Ref":
			refer(node, node.Value, referable)
		case "!Sub":
			for _, match := range regexp.MustCompile(`\$\{([\w:]+)\}`).FindAllStringSubmatch(node.Value, -1) {
				refer(node, match[1], referable)
			}
		case "!GetAtt": // SAM makes the resource GatewayUrl from FunctionUrlConfig.
			name, _, _ := strings.Cut(node.Value, ".")
			refer(node, name, append(slices.Clone(resources), "GatewayUrl"))
		case "!If":
			refer(node, node.Content[0].Value, conditions)
		}
	})
	for _, name := range slices.Concat(parameters, conditions) {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
	if len(used) < 8 {
		t.Errorf("only %v are referred to: this test no longer sees how", used)
	}
}

// Secrets stay in Secrets Manager: each setting of the function names the key of
// the same name there.
func TestSecretsOfTheFunctionComeFromSecretsManager(t *testing.T) {
	variables := at(samTemplate(t), "Resources.Gateway.Properties.Environment.Variables")
	for i := 0; i+1 < len(variables.Content); i += 2 {
		name, value := variables.Content[i].Value, variables.Content[i+1]
		want := "{{resolve:secretsmanager:${SecretName}:SecretString:" + name + "}}"
		if value.Tag != "!Sub" || value.Value != want {
			t.Errorf("template.yaml:%d: %s is %s, want !Sub %s", value.Line, name, value.Value, want)
		}
	}
}

func samTemplate(t *testing.T) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "infra/aws/template.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	return document.Content[0]
}

// at is the node at a path of keys, nil if there is none.
func at(node *yaml.Node, path string) *yaml.Node {
	for name := range strings.SplitSeq(path, ".") {
		if node == nil {
			return nil
		}
		i := slices.Index(keys(node), name)
		if i < 0 {
			return nil
		}
		node = node.Content[2*i+1]
	}
	return node
}

func keys(node *yaml.Node) []string {
	var names []string
	if node != nil && node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			names = append(names, node.Content[i].Value)
		}
	}
	return names
}

func walk(node *yaml.Node, visit func(*yaml.Node)) {
	visit(node)
	for _, child := range node.Content {
		walk(child, visit)
	}
}
