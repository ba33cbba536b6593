#!/usr/bin/env bash
# Kinto: JSON records with tombstones, ETags and a Next-Page header; any basic user.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/kinto, once
#   run.sh           installs if needed and becomes the server on 127.0.0.1:$PORT
set -euo pipefail
for tool in python3; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/kinto
if ! cmp -s "$here/requirements.txt" "$dir/.installed"; then
  python3 -m venv "$dir" >&2
  "$dir/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$dir/.installed"
fi
[ "${1:-}" = install ] && exit 0
exec "$dir/bin/pserve" "$here/kinto.ini" "http_port=$PORT" >&2
