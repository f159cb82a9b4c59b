// The plan, the app and its settings.
param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param blobEndpoint string
param queueEndpoint string
param tableEndpoint string
param packageUrl string
param insightsConnectionString string

@description('Empty: no network of its own.')
param subnetId string

@secure()
param configYaml string

@secure()
param secretSettings object

param maintenanceSchedule string
param alwaysReadyInstances int
param perInstanceConcurrency int
param instanceMemoryMB int
param maximumInstanceCount int
param runtimeVersion string

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    tier: 'FlexConsumption'
    name: 'FC1'
  }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  // By this tag azd finds the app for a service named gateway.
  tags: union(tags, { 'azd-service-name': 'gateway' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      alwaysOn: false
      minTlsVersion: '1.2'
    }
    functionAppConfig: {
      // The runtime is named here and only here: a setting FUNCTIONS_WORKER_RUNTIME
      // is refused by this plan. An app made for another runtime cannot be published to.
      runtime: {
        name: 'custom'
        version: runtimeVersion
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: {
          http: { perInstanceConcurrency: perInstanceConcurrency }
        }
      }
    }
  }
}

var settings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__queueServiceUri: queueEndpoint
  AzureWebJobsStorage__tableServiceUri: tableEndpoint
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  AZURE_CLIENT_ID: identityClientId
  SPILLWAY_STATE_ENDPOINT: tableEndpoint
  SPILLWAY_MAINTENANCE_SCHEDULE: maintenanceSchedule
}
var configSettings = empty(configYaml) ? {} : { SPILLWAY_CONFIG_YAML: configYaml }

resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settings, configSettings, secretSettings)
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
