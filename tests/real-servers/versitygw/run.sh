#!/usr/bin/env bash
# versitygw: the protocol of Amazon S3 over a folder, with conditional writes. What it acknowledged survives its death.
#   run.sh install   builds the pinned module into $REAL_SERVERS_DIR/versitygw, once
#   run.sh           builds it if needed and becomes the server on 127.0.0.1:$PORT, with its buckets in $BUCKETS and what it notes of them in $METADATA
set -euo pipefail
for tool in go; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/versitygw
mkdir -p "$dir"
if ! cat "$here/go.mod" "$here/go.sum" | cmp -s - "$dir/.built-from"; then
  cd "$here"
  GOWORK=off nice -n 19 go build -trimpath -ldflags "-s -w" -o "$dir/versitygw" github.com/versity/versitygw/cmd/versitygw >&2
  cat "$here/go.mod" "$here/go.sum" >"$dir/.built-from"
fi
[ "${1:-}" = install ] && exit 0
# Metadata goes into files of its own, as not every file system has extended attributes.
mkdir -p "$METADATA"
exec "$dir/versitygw" --port "127.0.0.1:$PORT" --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" \
  posix --sidecar "$METADATA" "$BUCKETS" >&2
