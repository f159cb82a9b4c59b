# Publishes dist/ to the app named by SPILLWAY_APP, as publish.sh does.
$ErrorActionPreference = 'Stop'
if (-not $env:SPILLWAY_APP) { throw 'SPILLWAY_APP names the Function app: azd env get-value SPILLWAY_APP' }
$tries = if ($env:SPILLWAY_PUBLISH_TRIES) { [int]$env:SPILLWAY_PUBLISH_TRIES } else { 10 }
$pause = if ($env:SPILLWAY_PUBLISH_PAUSE) { [int]$env:SPILLWAY_PUBLISH_PAUSE } else { 30 }
Set-Location (Join-Path $PSScriptRoot '../../../dist')
if (-not (Get-Command func -ErrorAction SilentlyContinue)) {
    throw 'func is missing: npm install -g azure-functions-core-tools@4'
}
for ($try = 1; ; $try++) {
    func azure functionapp publish $env:SPILLWAY_APP --custom
    if ($LASTEXITCODE -eq 0) { break }
    if ($try -ge $tries) { throw "not published after $tries tries. func uses the login of az: az login" }
    Write-Warning "try $try of $tries failed; the next one in $pause s"
    Start-Sleep -Seconds $pause
}
if ($env:SPILLWAY_URL) { Write-Output "published: $($env:SPILLWAY_URL)/spillway/healthz" }
