#!/usr/bin/env bash
# Kinto: JSON records with tombstones, ETags and a Next-Page header; any basic user.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/kinto, once
#   run.sh           installs if needed and becomes the server on 127.0.0.1:$PORT
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../python.sh"
[ "${1:-}" = install ] && exit 0
exec "$dir/bin/pserve" "$here/kinto.ini" "http_port=$PORT" >&2
