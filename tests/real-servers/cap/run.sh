#!/usr/bin/env bash
# SAP CAP: an OData V4 server with managed timestamps, server-driven paging and basic authentication.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/cap, once
#   run.sh           installs if needed and becomes the server on 127.0.0.1:$PORT
set -euo pipefail
for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/cap
if ! cmp -s "$here/package-lock.json" "$dir/.installed"; then
  mkdir -p "$dir"
  cp "$here/package.json" "$here/package-lock.json" "$dir/"
  (cd "$dir" && npm ci --no-audit --no-fund --loglevel=error >&2)
  cp "$here/package-lock.json" "$dir/.installed"
fi
[ "${1:-}" = install ] && exit 0
cp -R "$here/loopback.cjs" "$here/srv" "$dir/"
cd "$dir"
exec node --require ./loopback.cjs node_modules/@sap/cds/bin/serve.js srv --in-memory --port "$PORT" >&2
