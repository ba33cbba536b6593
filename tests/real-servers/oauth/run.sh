#!/usr/bin/env bash
# oidc-provider: an OAuth 2.0 server with consent, PKCE, introspection and strict rotation of refresh tokens.
#   run.sh install   installs the pinned packages into $REAL_SERVERS_DIR/oauth, once
#   run.sh           installs if needed and becomes the server on 127.0.0.1:$PORT, which ends with its standard input
# CLIENT_SECRET, ACCESS_TOKEN_SECONDS, REDIRECT_URIS, ROTATE and CLIENT_JWKS say how; see server.mjs.
set -euo pipefail
for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/oauth
if ! cmp -s "$here/package-lock.json" "$dir/.installed"; then
  mkdir -p "$dir"
  cp "$here/package.json" "$here/package-lock.json" "$dir/"
  (cd "$dir" && npm ci --no-audit --no-fund --loglevel=error >&2)
  cp "$here/package-lock.json" "$dir/.installed"
fi
[ "${1:-}" = install ] && exit 0
cp "$here/server.mjs" "$dir/.server-$$.mjs"
mv -f "$dir/.server-$$.mjs" "$dir/server.mjs"
cd "$dir"
exec node server.mjs
