#!/usr/bin/env bash
# Azurite: the protocol of Azure Blob Storage, with shared keys and conditional writes. What it acknowledged survives SIGTERM, not SIGKILL.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/azurite, once
#   run.sh           installs if needed and becomes the server on 127.0.0.1:$PORT, with a container `state` in $BUCKETS
set -euo pipefail
for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/azurite
if ! cmp -s "$here/package-lock.json" "$dir/.installed"; then
  mkdir -p "$dir"
  cp "$here/package.json" "$here/package-lock.json" "$dir/"
  (cd "$dir" && nice -n 19 npm ci --no-audit --no-fund --loglevel=error >&2)
  cp "$here/package-lock.json" "$dir/.installed"
fi
[ "${1:-}" = install ] && exit 0
cp "$here/server.cjs" "$dir/.server-$$.cjs"
mv -f "$dir/.server-$$.cjs" "$dir/server.cjs"
cd "$dir"
exec node server.cjs >&2
