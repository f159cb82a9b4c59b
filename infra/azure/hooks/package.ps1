# Builds dist/, what is published, as package.sh does.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '../../..')
if (-not (Get-Command make -ErrorAction SilentlyContinue)) {
    throw 'make is missing: install it, or run azd in WSL'
}
if (Test-Path gateway.yaml) {
    make package CONFIG=gateway.yaml
} elseif ($env:SPILLWAY_CONFIG_YAML) {
    make package
} else {
    throw 'there is no gateway.yaml: copy infra/azure/gateway.yaml beside azure.yaml, and put in your accounts'
}
if ($LASTEXITCODE -ne 0) { throw 'make package failed' }
