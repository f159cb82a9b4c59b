package bicep

import (
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	sound := map[string]string{
		"main.bicep": `
param region string
@secure()
param secrets object = {}
param ids string[] = []
var tags = { 'made-by': 'test' }
resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${region}'
  tags: tags
}
module one 'part/one.bicep' = {
  name: 'one'
  scope: group
  params: { region: region, secrets: secrets }
}
module each 'part/one.bicep' = [for (id, i) in ids: {
  name: 'each-${i}'
  scope: resourceGroup(split(id, '/')[2])
  params: {
    region: empty(id) ? region : '${toLower(id)}-${i + 1}'
    secrets: {}
  }
}]
output where string = one.outputs.where
output first string = each[0].outputs.where
`,
		"part/one.bicep": `
param region string
@secure()
param secrets object
param size int = 2
resource r 'Contoso/things@2024-01-01' = if (size > 1) {
  name: guid(region)
  properties: union(secrets, { size: size })
}
output where string = r.properties.where
`,
		"main.bicepparam": `
using 'main.bicep'
var all = readEnvironmentVariable('ALL', '')
param region = readEnvironmentVariable('REGION')
param ids = empty(all) ? [] : split(all, ',')
`,
	}
	tests := []struct {
		name string
		file string
		old  string // Replaced by new in the sound file.
		new  string
		want string // "": nothing is wrong.
	}{
		{name: "sound"},
		{"a name that is not declared", "main.bicep", "scope: group", "scope: groups", "main.bicep:13: groups is not declared"},
		{"a name in a string", "main.bicep", "'rg-${region}'", "'rg-${regoin}'", "main.bicep:8: regoin is not declared"},
		{"a loop's name outside the loop", "main.bicep", "each[0].outputs.where", "'${i}'", "main.bicep:25: i is not declared"},
		{"a param that nothing uses", "main.bicep", "param region string", "param region string\nparam idle int", "main.bicep:3: param idle is not used"},
		{"a var that nothing uses", "main.bicep", "tags: tags", "", "main.bicep:6: var tags is not used"},
		{"a name twice", "part/one.bicep", "param size int = 2", "param size int = 2\nvar region = 1", "part/one.bicep:6: region is declared twice"},
		{"an output twice", "main.bicep", "output first", "output where", "main.bicep:25: output where is declared twice"},
		{"a property twice", "main.bicep", "tags: tags", "tags: tags\nname: 'x'", "main.bicep:10: property name is given twice"},
		{"an unknown function", "main.bicep", "toLower(id)", "lower(id)", "main.bicep:20: function lower is unknown"},
		{"an unknown decorator", "main.bicep", "@secure()", "@secret()", "main.bicep:4: decorator secret is unknown"},
		{"a module that is not there", "main.bicep", "module one 'part/one.bicep'", "module one 'part/two.bicep'", "main.bicep:11: there is no file part/two.bicep"},
		{"a module's param is missing", "main.bicep", "{ region: region, secrets: secrets }", "{ secrets: secrets }", "main.bicep:11: part/one.bicep needs param region"},
		{"a module's param in a loop is missing", "main.bicep", "secrets: {}", "", "main.bicep:16: part/one.bicep needs param secrets"},
		{"a module's param is unknown", "main.bicep", "secrets: secrets }", "secrets: secrets, colour: 1 }", "main.bicep:11: part/one.bicep has no param colour"},
		{"an output that is not there", "main.bicep", "one.outputs.where", "one.outputs.there", "main.bicep:24: part/one.bicep has no output there"},
		{"an output of a loop that is not there", "main.bicep", "each[0].outputs.where", "each[0].outputs.there", "main.bicep:25: part/one.bicep has no output there"},
		{"a secret given to a param that is not secure", "part/one.bicep", "@secure()\n", "", "main.bicep:11: secrets is secure, param secrets of part/one.bicep is not"},
		{"a parameter file for another template", "main.bicepparam", "main.bicep", "other.bicep", "main.bicepparam:2: there is no file other.bicep"},
		{"a parameter file lacks a param", "main.bicepparam", "param region =", "var region =", "main.bicepparam:2: main.bicep needs param region"},
		{"a parameter file's param is unknown", "main.bicepparam", "param ids", "param names", "main.bicepparam:5: main.bicep has no param names"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]*File{}
			for name, text := range sound {
				if name == test.file {
					if !strings.Contains(text, test.old) {
						t.Fatalf("%s holds no %q", name, test.old)
					}
					text = strings.Replace(text, test.old, test.new, 1)
				}
				file, err := Parse(name, text)
				if err != nil {
					t.Fatal(err)
				}
				files[name] = file
			}
			problems := Check(files)
			if test.want == "" && problems != nil || test.want != "" && !slices.Contains(problems, test.want) {
				t.Errorf("problems %q, want %q", problems, test.want)
			}
		})
	}
}

func TestParseTellsWhere(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a bracket is not closed", "var a = {\n  b: [1, 2\n}\n", `f:3: "}"`},
		{"a string is not closed", "var a = 'x\n", "f:1: a string does not end"},
		{"an expression in a string is not closed", "\nvar a = '${x'\n", "f:2: ${ is not closed"},
		{"an expression in a string is broken", "var a = '${1 +}'\n", `f:1: ""`},
		{"no value", "param a string =\n", `f:1: ""`},
		{"no statement", "para a string\n", "f:1: \"a\" where a statement, not para"},
		{"two statements on a line", "var a = 1 var b = 2\n", `f:1: "var" where the end of the line`},
		{"properties on a line without a comma", "var a = { b: 1 c: 2 }\n", `f:1: "c" where }`},
		{"an unknown character", "var a = §\n", "f:1: unexpected"},
		{"an unknown escape", `var a = '\q'`, "f:1: an escape is unknown"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f", test.text)
			want := strings.Replace(test.want, "f:", "f: line ", 1)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v, want %s…", err, want)
			}
		})
	}
}

func TestAt(t *testing.T) {
	file, err := Parse("f", "resource r 'T@1' = [for x in ['a']: {\n  name: x\n  properties: { sku: { name: 'it\\'s ${x}' } }\n}]\n")
	if err != nil {
		t.Fatal(err)
	}
	body := file.Decl("resource", "r").Body()
	if got := body.At("properties.sku.name"); got == nil || got.Text != "it's ${}" {
		t.Errorf("name %+v", got)
	}
	if got := body.At("properties.tier.name"); got != nil {
		t.Errorf("a property that is not there is %+v", got)
	}
}
