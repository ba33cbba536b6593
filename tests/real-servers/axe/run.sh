#!/usr/bin/env bash
# axe-core: a script that checks a page for what keeps people from using it.
#   run.sh install   installs the pinned package into $REAL_SERVERS_DIR/axe, once
#   run.sh           installs if needed and prints the script
set -euo pipefail
for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/axe
if ! cmp -s "$here/package-lock.json" "$dir/.installed"; then
  mkdir -p "$dir"
  cp "$here/package.json" "$here/package-lock.json" "$dir/"
  (cd "$dir" && npm ci --no-audit --no-fund --loglevel=error >&2)
  cp "$here/package-lock.json" "$dir/.installed"
fi
[ "${1:-}" = install ] && exit 0
exec cat "$dir/node_modules/axe-core/axe.min.js"
