package infra

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// readByTheHost are settings that the Functions host reads, not the program.
var readByTheHost = set(
	"AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
	"AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__queueServiceUri", "AzureWebJobsStorage__tableServiceUri",
	"APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
)

// refusedOnFlex are settings that the Flex Consumption plan refuses or ignores.
var refusedOnFlex = []string{
	"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_CONTENTSHARE",
	"WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD",
}

// Settings that the program reads itself: some template, or the host, sets each.
func TestEverySettingOfTheProgramIsSet(t *testing.T) {
	setBy := map[string]map[string]bool{
		"infra/azure":               azureSettings(t),
		"infra/aws":                 awsSettings(t),
		"infra/systemd":             unitSettings(t),
		"local.settings.sample":     localSettings(t),
		"the host, for its process": set("FUNCTIONS_CUSTOMHANDLER_PORT"),
		"an operator's terminal":    set("USER", "TERM", "NO_COLOR", "SPILLWAY_ADMIN_KEY"),
		"an operator who wants it": set("OTEL_SDK_DISABLED", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
			"AZURE_TOKEN_CREDENTIALS", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"),
	}
	for name, where := range programSettings(t) {
		found := slices.ContainsFunc(slices.Collect(maps.Values(setBy)), func(names map[string]bool) bool { return names[name] })
		if !found {
			t.Errorf("%s reads %s, and nothing sets it", where, name)
		}
	}
}

func TestEverySettingOfAConfigurationIsSet(t *testing.T) {
	wantSet(t, "infra/azure/gateway.yaml", variables(t, "infra/azure/gateway.yaml"), "infra/azure", azureSettings(t))
	wantSet(t, "infra/aws/gateway.yaml", variables(t, "infra/aws/gateway.yaml"), "infra/aws", awsSettings(t))
}

// Without its storage settings the host does not start, without the client id the
// credential library does not find a user-assigned identity.
func TestEverySettingOfTheHostAndTheIdentityIsSet(t *testing.T) {
	wantSet(t, "the Functions host", readByTheHost, "infra/azure", azureSettings(t))
	wantSet(t, "azidentity", readByAzureIdentity(t), "infra/azure", azureSettings(t))
}

// A %NAME% of function.json that is not set keeps the function from starting, on
// a developer's machine too.
func TestEverySettingOfAFunctionIsSet(t *testing.T) {
	read := functionSettings(t)
	wantSet(t, "function.json", read, "infra/azure", azureSettings(t))
	wantSet(t, "function.json", read, "local.settings.sample.json", localSettings(t))
}

func TestEverySettingThatIsSetIsRead(t *testing.T) {
	program := set(slices.Collect(maps.Keys(programSettings(t)))...)
	tests := []struct {
		name string
		set  map[string]bool
		read []map[string]bool
	}{
		{"infra/azure", azureSettings(t), []map[string]bool{
			program, readByTheHost, readByAzureIdentity(t), functionSettings(t), variables(t, "infra/azure/gateway.yaml"),
		}},
		{"infra/aws", awsSettings(t), []map[string]bool{program, variables(t, "infra/aws/gateway.yaml")}},
		{"infra/systemd", unitSettings(t), []map[string]bool{program}},
		{"local.settings.sample.json", localSettings(t), []map[string]bool{
			// func takes the runtime from one, and its host the storage from the other.
			program, functionSettings(t), set("FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"),
		}},
	}
	for _, test := range tests {
		if len(test.set) == 0 {
			t.Errorf("%s sets nothing", test.name)
		}
		for name := range test.set {
			if !slices.ContainsFunc(test.read, func(names map[string]bool) bool { return names[name] }) {
				t.Errorf("%s sets %s, and nothing reads it", test.name, name)
			}
		}
	}
}

func TestNoSettingThatThePlanRefuses(t *testing.T) {
	settings := azureSettings(t)
	for _, name := range refusedOnFlex {
		if settings[name] {
			t.Errorf("infra/azure sets %s, which the Flex Consumption plan does not take", name)
		}
	}
}

func wantSet(t *testing.T, reader string, read map[string]bool, setter string, settings map[string]bool) {
	t.Helper()
	for name := range read {
		if !settings[name] {
			t.Errorf("%s reads %s, and %s does not set it", reader, name, setter)
		}
	}
}

// azureSettings are the app settings of app.bicep and the secrets that the
// parameter file adds to them.
func azureSettings(t *testing.T) map[string]bool {
	t.Helper()
	files := templates(t)
	app := files["modules/app.bicep"]
	names := set(app.Decl("var", "settings").Value.Keys()...)
	text := app.Decl("var", "configSettings").Value.Args[2]
	maps.Copy(names, set(text.Keys()...))
	maps.Copy(names, set(files["main.bicepparam"].Decl("param", "secretSettings").Value.Keys()...))
	joined := app.Decl("resource", "appSettings").Body().At("properties")
	if joined == nil || joined.Text != "union" || len(joined.Args) != 3 {
		t.Fatalf("the app settings are not the union of the three objects that this test reads")
	}
	return names
}

func awsSettings(t *testing.T) map[string]bool {
	t.Helper()
	var template struct {
		Resources struct {
			Gateway struct {
				Properties struct {
					Environment struct {
						Variables map[string]yaml.Node `yaml:"Variables"`
					} `yaml:"Environment"`
				} `yaml:"Properties"`
			} `yaml:"Gateway"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "infra/aws/template.yaml")), &template); err != nil {
		t.Fatal(err)
	}
	return set(slices.Collect(maps.Keys(template.Resources.Gateway.Properties.Environment.Variables))...)
}

func unitSettings(t *testing.T) map[string]bool {
	t.Helper()
	return matches(read(t, "infra/systemd/spillway.service"), `(?m)^Environment=(\w+)=`)
}

func localSettings(t *testing.T) map[string]bool {
	t.Helper()
	var settings struct {
		Values map[string]string `yaml:"Values"` // JSON is YAML
	}
	if err := yaml.Unmarshal([]byte(read(t, "local.settings.sample.json")), &settings); err != nil {
		t.Fatal(err)
	}
	return set(slices.Collect(maps.Keys(settings.Values))...)
}

// variables are the ${NAME} of a configuration, outside its comments.
func variables(t *testing.T, path string) map[string]bool {
	t.Helper()
	text := regexp.MustCompile(`(?m)(^|\s)#.*$`).ReplaceAllString(read(t, path), "")
	return matches(text, `\$\{(\w+)\}`)
}

// functionSettings are the %NAME% of all function.json.
func functionSettings(t *testing.T) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "functions/*/function.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no function.json: %v", err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		relative, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(names, matches(read(t, relative), `%(\w+)%`))
	}
	return names
}

// readByAzureIdentity is what the credential library reads, as far as the
// templates set it: the library's own source has the name.
func readByAzureIdentity(t *testing.T) map[string]bool {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/Azure/azure-sdk-for-go/sdk/azidentity").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Collect(maps.Values(constants(t, strings.TrimSpace(string(folder)))))
	if !slices.Contains(known, "AZURE_CLIENT_ID") {
		t.Error("azidentity no longer knows AZURE_CLIENT_ID")
	}
	return set("AZURE_CLIENT_ID")
}

// programSettings are the environment variables that the code of functions/ and
// shared/ looks up by name, each with the file that does.
func programSettings(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var byAnyName []string
	for _, folder := range packages(t) {
		named := constants(t, folder)
		for path, file := range sources(t, folder) {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 1 || !looksUp(call.Fun) {
					return true
				}
				switch arg := call.Args[0].(type) {
				case *ast.BasicLit:
					name, _ := strconv.Unquote(arg.Value)
					found[name] = path
				case *ast.Ident:
					if name, ok := named[arg.Name]; ok {
						found[name] = path
						return true
					}
					byAnyName = append(byAnyName, path)
				default:
					byAnyName = append(byAnyName, path)
				}
				return true
			})
		}
	}
	// The ${NAME} of a configuration, whatever it is; OpenTelemetry's variables, and those
	// in which a host of Azure says where its identity comes from.
	byAnyName = slices.Compact(byAnyName)
	if want := []string{"shared/config/variables.go", "shared/telemetry/export/settings.go", "shared/upstream/credential_azure.go"}; !slices.Equal(byAnyName, want) {
		t.Errorf("%v look up variables by names that this test cannot see, want %v alone", byAnyName, want)
	}
	if len(found) < 3 {
		t.Errorf("only %v are looked up: this test no longer sees how", found)
	}
	return found
}

// looksUp tells whether a function reads the environment by the project's habit:
// os.LookupEnv, os.Getenv, or a parameter or field named env.
func looksUp(function ast.Expr) bool {
	switch f := function.(type) {
	case *ast.Ident:
		return f.Name == "env"
	case *ast.SelectorExpr:
		return f.Sel.Name == "env" || f.Sel.Name == "LookupEnv" || f.Sel.Name == "Getenv"
	}
	return false
}

// packages are the folders with Go code under functions/ and shared/.
func packages(t *testing.T) []string {
	t.Helper()
	folders := map[string]bool{}
	for _, top := range []string{"functions", "shared"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				folders[filepath.Dir(path)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.Sorted(maps.Keys(folders))
}

// sources are the Go files of a folder, tests left out, by their path from the root.
func sources(t *testing.T, folder string) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), root+"/")
		files[name] = file
	}
	return files
}

// constants are the string constants of the package in a folder.
func constants(t *testing.T, folder string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, file := range sources(t, folder) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					values[spec.Names[i].Name], _ = strconv.Unquote(literal.Value)
				}
			}
			return true
		})
	}
	return values
}

// matches are what the first group of a pattern matches in a text.
func matches(text, pattern string) map[string]bool {
	names := map[string]bool{}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		names[match[1]] = true
	}
	return names
}

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}
