#!/usr/bin/env bash
# Schemathesis: asks an API for all that its OpenAPI document allows, and for much that it does not.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/schemathesis, once
#   run.sh ARGS      installs if needed and becomes the program with these arguments
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../python.sh"
[ "${1:-}" = install ] && exit 0
exec "$dir/bin/schemathesis" "$@"
