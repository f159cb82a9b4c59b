// The parameters for azd and az alike, from the environment. azd hands over what
// `azd env set` has stored; for az, export the variables.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'spillway')
param location = readEnvironmentVariable('AZURE_LOCATION')

// Resource ids, separated by commas.
var accounts = readEnvironmentVariable('SPILLWAY_OPENAI_ACCOUNT_IDS', '')
param openAiAccountIds = empty(accounts) ? [] : split(accounts, ',')

// The text of gateway.yaml, where none is published beside the binary.
param configYaml = readEnvironmentVariable('SPILLWAY_CONFIG_YAML', '')

// A line for each ${NAME} of gateway.yaml that holds a secret. The value may be a
// Key Vault reference, @Microsoft.KeyVault(SecretUri=…), once the identity may read it.
param secretSettings = {
  TEAM_SEARCH_KEY: readEnvironmentVariable('TEAM_SEARCH_KEY')
}

param alwaysReadyInstances = int(readEnvironmentVariable('SPILLWAY_ALWAYS_READY', '0'))
param privateNetwork = bool(readEnvironmentVariable('SPILLWAY_PRIVATE_NETWORK', 'false'))
