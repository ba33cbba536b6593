#!/usr/bin/env bash
# fake-gcs-server: the protocol of Google Cloud Storage over a folder, with conditional writes. What it acknowledged survives its death.
#   run.sh install   builds the pinned modules into $REAL_SERVERS_DIR/fake-gcs, once
#   run.sh           builds them if needed and becomes the server on 127.0.0.1:$PORT, with its buckets in $BUCKETS, for the service account
#                    $ACCOUNT with the key in $ACCOUNT_KEY
set -euo pipefail
for tool in go; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/fake-gcs
mkdir -p "$dir"
if ! cat "$here/go.mod" "$here/go.sum" "$here/main.go" | cmp -s - "$dir/.built-from"; then
  cd "$here"
  GOWORK=off nice -n 19 go build -trimpath -ldflags "-s -w" -o "$dir/fake-gcs" . >&2
  cat "$here/go.mod" "$here/go.sum" "$here/main.go" >"$dir/.built-from"
fi
[ "${1:-}" = install ] && exit 0
exec "$dir/fake-gcs" >&2
