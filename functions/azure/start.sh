#!/bin/sh
# Runs the gateway as a Functions app on this machine, until Ctrl-C: dist/ built for
# it, Microsoft's storage emulator, and the Functions host. The settings are those
# of local.settings.json, which is made from the sample at the first time.
set -eu
cd "$(dirname "$0")/../.."
command -v func >/dev/null || {
  echo "func is missing: npm install -g azure-functions-core-tools@4" >&2
  exit 1
}
go=${GO:-go}
dist=${DIST:-dist}
GOOS=$("$go" env GOOS) GOARCH=$("$go" env GOARCH) functions/azure/package.sh
[ -f local.settings.json ] || cp local.settings.sample.json local.settings.json
cp local.settings.json "$dist/"

"$go" build -o bin/azurite ./tests/fakes/azurite/cmd
said=$(mktemp)
bin/azurite >"$said" &
azurite=$!
trap 'kill "$azurite" 2>/dev/null || true; wait "$azurite" 2>/dev/null || true; rm -f "$said"' EXIT
trap 'exit 130' INT TERM
until grep -q ports "$said"; do # it says where it is when it is there
  kill -0 "$azurite" 2>/dev/null || exit 1
  sleep 0.2
done
cd "$dist"
func start
