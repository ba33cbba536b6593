#!/usr/bin/env bash
# Schemathesis: asks an API for all that its OpenAPI document allows, and for much that it does not.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/schemathesis, once
#   run.sh ARGS      installs if needed and becomes the program with these arguments
set -euo pipefail
for tool in python3; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/schemathesis
if ! cmp -s "$here/requirements.txt" "$dir/.installed"; then
  python3 -m venv "$dir" >&2
  "$dir/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$dir/.installed"
fi
[ "${1:-}" = install ] && exit 0
exec "$dir/bin/schemathesis" "$@"
