# shellcheck shell=bash
# The virtual environment, from the lock and nothing else.

VENV=$CHECKOUT/.venv
UV_LOCK=$CHECKOUT/requirements/uv.txt
UV=$CACHE/uv/$(digest "$(cat "$UV_LOCK")")/bin/uv

# Debian's own Python 3.11 first: it is the one hosts have.
python_find() {
  local candidate
  for candidate in /usr/bin/python3.11 /usr/bin/python3 python3.11 python3; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
}
PYTHON=$(python_find)
export PYTHON

# python_locks: operator.txt, and the lock of each stack that this environment was ever asked for.
python_locks() {
  local stack
  printf '%s\n' "$CHECKOUT/requirements/operator.txt"
  for stack in $(cat "$VENV/.stacks" 2>/dev/null); do printf '%s\n' "$CHECKOUT/requirements/$stack.txt"; done
}

# python_want STACK...: from now on the environment also holds what these stacks need.
python_want() {
  local stack new
  for stack in "$@"; do
    [ -f "$CHECKOUT/requirements/$stack.txt" ] || fail "$stack needs no packages of its own, or is no stack" \
      "There is no requirements/$stack.txt." "Stacks with packages: aws, gcp, hetzner, openstack."
  done
  new=$(printf '%s\n' "$@" $(cat "$VENV/.stacks" 2>/dev/null) | sort -u)
  [ "$new" = "$(cat "$VENV/.stacks" 2>/dev/null)" ] || { mkdir -p "$VENV" && printf '%s\n' "$new" >"$VENV/.stacks"; }
}

python_stamp() { digest "$(python_locks | xargs cat)" "$CHECKOUT" 3; }

python_ready() {
  [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.locked" 2>/dev/null)" = "$(python_stamp)" ]
}

# python_pip ARGUMENT...: the machine's pip, else Debian's, unpacked for the occasion.
python_pip() {
  local wheel
  if "$PYTHON" -m pip --version >/dev/null 2>&1; then
    "$PYTHON" -m pip --disable-pip-version-check "$@"
    return
  fi
  wheel=$(find /usr/share/python-wheels "$MAKING/pip" -name 'pip-*.whl' 2>/dev/null | head -n 1 || true)
  if [ -z "$wheel" ]; then
    debian_apt /dev/null
    debian_data "$MAKING/pip" python3-pip-whl
    wheel=$(find "$MAKING/pip" -name 'pip-*.whl' | head -n 1)
  fi
  "$PYTHON" "$wheel/pip" --disable-pip-version-check "$@"
}

# An index the machine's pip is set to is uv's index as well.
python_index() {
  local index
  index=${PIP_INDEX_URL:-$(python_pip config get global.index-url 2>/dev/null || true)}
  [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
  export UV_CACHE_DIR=$CACHE/wheels UV_SYSTEM_CERTS=1 UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
}

python_uv() {
  local folder
  folder=$(making uv)
  python_pip install -q --require-hashes --no-deps --only-binary :all: --target "$folder" -r "$UV_LOCK" &&
    "$folder/bin/uv" --version &&
    keep "$folder" "$(dirname "$(dirname "$UV")")"
}

python_venv() {
  local locks stacks
  mapfile -t locks < <(python_locks)
  stacks=$(cat "$VENV/.stacks" 2>/dev/null || true)
  rm -f "$VENV/.locked"
  [ -x "$UV" ] || python_uv || say "uv can't be had; pip does it, more slowly."
  python_index
  if [ -x "$UV" ]; then
    "$VENV/bin/python" -c '' 2>/dev/null || "$UV" venv -q --clear --force --python "$PYTHON" "$VENV"
    "$UV" pip sync --python "$VENV/bin/python" --require-hashes "${locks[@]}"
  else
    "$PYTHON" -m venv --clear --without-pip "$VENV"
    python_pip --python "$VENV/bin/python" install --require-hashes --no-deps "${locks[@]/#/-r}"
  fi
  [ -z "$stacks" ] || printf '%s\n' "$stacks" >"$VENV/.stacks" # a new environment lost it
  python_checkout
  python_stamp >"$VENV/.locked"
}

# The checkout itself, without a build: a path, and the command.
python_checkout() {
  printf '%s\n' "$CHECKOUT" >"$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/resilience.pth"
  cat >"$VENV/bin/resilience" <<PROGRAM
#!$VENV/bin/python
import sys

from resilience.entry import main

sys.exit(main())
PROGRAM
  chmod 755 "$VENV/bin/resilience"
}
