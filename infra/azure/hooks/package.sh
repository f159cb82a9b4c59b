#!/bin/sh
# Builds dist/, what is published: host.json, the functions, the binary, and
# gateway.yaml, unless its text is a setting.
set -eu
cd "$(dirname "$0")/../../.."
if [ -f gateway.yaml ]; then
  exec make package CONFIG=gateway.yaml
fi
if [ -z "${SPILLWAY_CONFIG_YAML:-}" ]; then
  echo "there is no gateway.yaml: cp infra/azure/gateway.yaml gateway.yaml, and put in your accounts" >&2
  exit 1
fi
exec make package
