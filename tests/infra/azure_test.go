// Package infra holds what deploys Spillway to itself and to the code: templates,
// hooks, container and unit.
package infra

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spillway/tests/infra/bicep"
)

const root = "../.."

// resourceTypes are the types that the templates may use, in versions that were
// looked up in the index that the Bicep compiler itself carries.
var resourceTypes = map[string]string{
	"Microsoft.Authorization/roleAssignments":                   "2022-04-01",
	"Microsoft.CognitiveServices/accounts":                      "2024-10-01",
	"Microsoft.Insights/components":                             "2020-02-02",
	"Microsoft.ManagedIdentity/userAssignedIdentities":          "2023-01-31",
	"Microsoft.Network/privateDnsZones":                         "2024-06-01",
	"Microsoft.Network/privateDnsZones/virtualNetworkLinks":     "2024-06-01",
	"Microsoft.Network/privateEndpoints":                        "2024-05-01",
	"Microsoft.Network/privateEndpoints/privateDnsZoneGroups":   "2024-05-01",
	"Microsoft.Network/virtualNetworks":                         "2024-05-01",
	"Microsoft.OperationalInsights/workspaces":                  "2023-09-01",
	"Microsoft.Resources/resourceGroups":                        "2024-03-01",
	"Microsoft.Storage/storageAccounts":                         "2024-01-01",
	"Microsoft.Storage/storageAccounts/blobServices":            "2024-01-01",
	"Microsoft.Storage/storageAccounts/blobServices/containers": "2024-01-01",
	"Microsoft.Web/serverfarms":                                 "2024-04-01",
	"Microsoft.Web/sites":                                       "2024-04-01",
	"Microsoft.Web/sites/config":                                "2024-04-01",
}

// roles are Azure's built-in roles that the app's identity needs, by the name of
// the variable that holds the id, each with the file that gives it.
var roles = map[string]struct{ id, file string }{
	"storageBlobDataOwner":        {"b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "modules/storage.bicep"},
	"storageTableDataContributor": {"0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "modules/storage.bicep"},
	"monitoringMetricsPublisher":  {"3913510d-42f4-4e42-8a64-420c390055eb", "modules/monitoring.bicep"},
	"cognitiveServicesOpenAiUser": {"5e0bd9bd-7b93-4f28-af87-19fc36ad61bd", "modules/openai-access.bicep"},
}

func TestTheTemplatesFitTogether(t *testing.T) {
	files := templates(t)
	for _, problem := range bicep.Check(files) {
		t.Error(problem)
	}
	named := map[string]bool{"main.bicep": true, "main.bicepparam": true}
	for _, module := range files["main.bicep"].All("module") {
		named[module.Type] = true
	}
	for name := range files {
		if !named[name] {
			t.Errorf("no template uses %s", name)
		}
	}
}

func TestResourceTypesAreKnown(t *testing.T) {
	used := map[string]bool{}
	for name, file := range templates(t) {
		for _, resource := range file.All("resource") {
			kind, version, _ := strings.Cut(resource.Type, "@")
			used[kind] = true
			if resourceTypes[kind] != version {
				t.Errorf("%s:%d: %s is not among the types that were looked up", name, resource.Line, resource.Type)
			}
		}
	}
	for kind := range resourceTypes {
		if !used[kind] {
			t.Errorf("no template uses %s: remove it from this test", kind)
		}
	}
}

func TestTheIdentityGetsItsRolesAndNoOther(t *testing.T) {
	found := map[string]bool{}
	for name, file := range templates(t) {
		for _, resource := range file.All("resource") {
			if !strings.HasPrefix(resource.Type, "Microsoft.Authorization/roleAssignments@") {
				continue
			}
			body := resource.Body()
			definition := body.At("properties.roleDefinitionId")
			if definition == nil || definition.Text != "subscriptionResourceId" || definition.Args[1].Kind != bicep.Name {
				t.Errorf("%s:%d: the role is not subscriptionResourceId('…', variable)", name, resource.Line)
				continue
			}
			variable := definition.Args[1].Text
			role, known := roles[variable]
			value := file.Decl("var", variable)
			switch {
			case !known || role.file != name:
				t.Errorf("%s:%d: gives the role %s, which is not expected here", name, resource.Line, variable)
			case value == nil || value.Value.Text != role.id:
				t.Errorf("%s: %s is not %s", name, variable, role.id)
			}
			found[variable] = true
			if scope := body.At("scope"); scope == nil {
				t.Errorf("%s:%d: the role is for the whole resource group", name, resource.Line)
			}
			if kind := body.At("properties.principalType"); kind == nil || kind.Text != "ServicePrincipal" {
				t.Errorf("%s:%d: without principalType a role for a new identity fails now and then", name, resource.Line)
			}
		}
	}
	for variable := range roles {
		if !found[variable] {
			t.Errorf("nobody gives %s", variable)
		}
	}
}

// What the plan and the security of the deployment demand of single properties.
func TestPropertiesThatMatter(t *testing.T) {
	files := templates(t)
	tests := []struct{ file, resource, path, want string }{
		{"modules/app.bicep", "plan", "sku.name", "FC1"},
		{"modules/app.bicep", "plan", "sku.tier", "FlexConsumption"},
		{"modules/app.bicep", "plan", "properties.reserved", "true"},
		{"modules/app.bicep", "app", "kind", "functionapp,linux"},
		{"modules/app.bicep", "app", "properties.httpsOnly", "true"},
		{"modules/app.bicep", "app", "properties.siteConfig.alwaysOn", "false"},
		{"modules/app.bicep", "app", "properties.functionAppConfig.runtime.name", "custom"},
		{"modules/app.bicep", "app", "properties.functionAppConfig.deployment.storage.type", "blobContainer"},
		{"modules/app.bicep", "app", "properties.functionAppConfig.deployment.storage.authentication.type", "UserAssignedIdentity"},
		{"modules/app.bicep", "appSettings", "name", "appsettings"},
		{"modules/storage.bicep", "account", "properties.allowSharedKeyAccess", "false"},
		{"modules/storage.bicep", "account", "properties.allowBlobPublicAccess", "false"},
		{"modules/storage.bicep", "account", "properties.minimumTlsVersion", "TLS1_2"},
		{"modules/monitoring.bicep", "insights", "properties.DisableLocalAuth", "true"},
	}
	for _, test := range tests {
		resource := files[test.file].Decl("resource", test.resource)
		if resource == nil {
			t.Errorf("%s has no resource %s", test.file, test.resource)
			continue
		}
		if got := resource.Body().At(test.path); got == nil || got.Text != test.want {
			t.Errorf("%s: %s.%s is %+v, want %s", test.file, test.resource, test.path, got, test.want)
		}
	}
}

// The private network must have an endpoint for each part of the storage account
// that a setting names, or the app cannot reach what it is told to use.
func TestEveryStorageServiceHasAPrivateEndpoint(t *testing.T) {
	files := templates(t)
	var endpoints []string
	for _, service := range files["modules/network.bicep"].Decl("var", "services").Value.Args {
		endpoints = append(endpoints, service.Text)
	}
	var named []string
	for _, key := range files["modules/app.bicep"].Decl("var", "settings").Value.Keys() {
		if service, ok := strings.CutPrefix(key, "AzureWebJobsStorage__"); ok && strings.HasSuffix(service, "ServiceUri") {
			named = append(named, strings.TrimSuffix(service, "ServiceUri"))
		}
	}
	slices.Sort(endpoints)
	slices.Sort(named)
	if !slices.Equal(endpoints, named) || len(named) < 2 {
		t.Errorf("endpoints for %v, settings for %v", endpoints, named)
	}
}

func TestParametersAreExplained(t *testing.T) {
	for _, param := range templates(t)["main.bicep"].All("param") {
		if !param.Decorated("description") {
			t.Errorf("main.bicep:%d: param %s has no description", param.Line, param.Name)
		}
	}
}

// templates are all Bicep files, by their path from infra/azure.
func templates(t *testing.T) map[string]*bicep.File {
	t.Helper()
	files := map[string]*bicep.File{}
	folder := filepath.Join(root, "infra/azure")
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !regexp.MustCompile(`\.bicep(param)?$`).MatchString(path) {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		files[name], err = bicep.Parse(name, read(t, filepath.Join("infra/azure", name)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(slices.Collect(maps.Keys(files)), "main.bicep") {
		t.Fatal("there is no main.bicep")
	}
	return files
}

// read is the text of a file of the project.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
