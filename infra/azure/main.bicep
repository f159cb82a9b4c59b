// Spillway as a Function app on the Flex Consumption plan, with what it needs: a
// storage account without keys, an identity and its roles, logs, and on demand a
// network with private endpoints.
targetScope = 'subscription'

@description('Names the resource group and, hashed, the resources in it.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('The region. az functionapp list-flexconsumption-locations lists those that have the plan.')
@minLength(1)
param location string

@description('Resource ids of the Azure OpenAI accounts that the gateway calls with its managed identity. They may be in other resource groups and subscriptions.')
param openAiAccountIds string[] = []

@description('The gateway.yaml as text. Empty: the file that was published beside the binary.')
@secure()
param configYaml string = ''

@description('App settings that gateway.yaml reads as ${NAME}: a value each, or a Key Vault reference.')
@secure()
param secretSettings object = {}

@description('When the maintenance runs, as NCRONTAB with seconds.')
param maintenanceSchedule string = '*/10 * * * * *'

@description('Instances that are kept running for HTTP calls. 0: the first call after a pause waits for one to start.')
@minValue(0)
param alwaysReadyInstances int = 0

@description('Calls that one instance serves at once before another is started. A proxied call mostly waits.')
@minValue(1)
@maxValue(1000)
param perInstanceConcurrency int = 200

@description('Memory of an instance in MB; its processor share grows with it.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The most instances at once.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Version of the runtime named custom. az functionapp list-flexconsumption-runtimes --runtime custom lists those of a region.')
param runtimeVersion string = '1.0'

@description('Closes the storage account to the internet: the app reaches it through a network of its own.')
param privateNetwork bool = false

var tags = { 'azd-env-name': environmentName }
var token = toLower(uniqueString(subscription().id, environmentName, location))
var appName = 'spillway-${token}'
var networkName = 'vnet-${token}'
var appSubnet = 'app'

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${token}'
    insightsName: 'appi-${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    packageContainer: 'app-package'
    principalId: identity.outputs.principalId
    publicAccess: !privateNetwork
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    name: networkName
    appSubnet: appSubnet
    location: location
    tags: tags
    storageId: storage.outputs.id
    storageName: storage.outputs.name
  }
}

module openAiAccess 'modules/openai-access.bicep' = [for (id, i) in openAiAccountIds: {
  name: 'openai-access-${token}-${i}'
  scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
  params: {
    accountName: last(split(id, '/'))
    principalId: identity.outputs.principalId
  }
}]

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: appName
    planName: 'plan-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    blobEndpoint: storage.outputs.blobEndpoint
    queueEndpoint: storage.outputs.queueEndpoint
    tableEndpoint: storage.outputs.tableEndpoint
    packageUrl: storage.outputs.packageUrl
    insightsConnectionString: monitoring.outputs.connectionString
    subnetId: privateNetwork ? '${group.id}/providers/Microsoft.Network/virtualNetworks/${networkName}/subnets/${appSubnet}' : ''
    configYaml: configYaml
    secretSettings: secretSettings
    maintenanceSchedule: maintenanceSchedule
    alwaysReadyInstances: alwaysReadyInstances
    perInstanceConcurrency: perInstanceConcurrency
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    runtimeVersion: runtimeVersion
  }
  dependsOn: [network]
}

output AZURE_RESOURCE_GROUP string = group.name
output SPILLWAY_APP string = app.outputs.name
output SPILLWAY_URL string = app.outputs.url
output SPILLWAY_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
