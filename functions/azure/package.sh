#!/bin/sh
# Builds dist/, what an Azure Functions host needs and nothing else: host.json, the
# function.json of each function, the binary, and the configuration.
#
#   DIST    the folder to build, which is replaced; default dist
#   CONFIG  the configuration that travels along; default gateway.yaml, if there is one
#   GOOS, GOARCH  what the binary is for; default linux, amd64
set -eu
cd "$(dirname "$0")/../.."
dist=${DIST:-dist}
config=${CONFIG:-gateway.yaml}
if [ -n "${CONFIG:-}" ] && [ ! -f "$config" ]; then
  echo "there is no $config" >&2
  exit 1
fi
if [ -e "$dist" ] && [ ! -f "$dist/host.json" ] && [ -n "$(ls -A "$dist")" ]; then
  echo "$dist is not a folder that this has built: it stays as it is" >&2
  exit 1
fi
binary=$(sed -n 's/.*"defaultExecutablePath": *"\([^"]*\)".*/\1/p' host.json)
new=$dist.new
trap 'rm -rf "$new"' EXIT
rm -rf "$new"
mkdir -p "$new"
CGO_ENABLED=0 GOOS="${GOOS:-linux}" GOARCH="${GOARCH:-amd64}" \
  "${GO:-go}" build -trimpath -buildvcs=auto -ldflags '-s -w' -o "$new/$binary" ./functions/azure
cp host.json "$new/"
for file in functions/*/function.json; do
  folder=$new/$(basename "$(dirname "$file")")
  mkdir "$folder"
  cp "$file" "$folder/"
done
if [ -f "$config" ]; then
  cp "$config" "$new/gateway.yaml"
else
  echo "there is no $config: the app needs the setting SPILLWAY_CONFIG_YAML" >&2
fi
rm -rf "$dist"
mv "$new" "$dist"
