#!/bin/sh
# Publishes dist/ to the app named by SPILLWAY_APP. azd runs it after it has
# provisioned; by hand it is the same command.
#
# The roles of a new identity take some minutes to be known everywhere; until then
# the upload is refused. So a refused upload is tried again.
set -eu
: "${SPILLWAY_APP:?names the Function app: azd env get-value SPILLWAY_APP}"
tries=${SPILLWAY_PUBLISH_TRIES:-10}
pause=${SPILLWAY_PUBLISH_PAUSE:-30}
cd "$(dirname "$0")/../../../dist" || {
  echo "there is no dist/: make package builds it" >&2
  exit 1
}
command -v func >/dev/null || {
  echo "func is missing: npm install -g azure-functions-core-tools@4" >&2
  exit 1
}
try=1
until func azure functionapp publish "$SPILLWAY_APP" --custom; do
  if [ "$try" -ge "$tries" ]; then
    echo "not published after $tries tries. func uses the login of az: az login" >&2
    exit 1
  fi
  echo "try $try of $tries failed; the next one in $pause s" >&2
  try=$((try + 1))
  sleep "$pause"
done
if [ -n "${SPILLWAY_URL:-}" ]; then
  echo "published: $SPILLWAY_URL/spillway/healthz"
fi
