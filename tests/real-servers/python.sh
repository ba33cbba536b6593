# Sourced by a run.sh, after `here` is set to its folder: sets `dir` and keeps the packages of requirements.txt there, once.
command -v python3 >/dev/null || { echo "python3 is not installed" >&2; exit 1; }
dir=${REAL_SERVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pollinator/real-servers}/$(basename "$here")
if ! cmp -s "$here/requirements.txt" "$dir/.installed"; then
  python3 -m venv "$dir" >&2
  "$dir/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$dir/.installed"
fi
