# shellcheck shell=bash
# What every part of set-up uses: where things go, how a step is run, how an error is told.

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=${RESILIENCE_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.cache}/resilience}
MAKING=$CACHE/.making     # half-made things live here, and only here
export CHECKOUT CACHE MAKING
declare -A PLACES=()      # what current.json will say

say() { printf '%s\n' "$*"; }

# fail WHAT WHY NEXT: three lines, then out.
fail() {
  printf '%s\nWhy: %s\nNext: %s\n' "$1" "$2" "$3" >&2
  exit 1
}

# digest TEXT...: sixteen hex digits that change when the recipe does.
digest() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }

# step NAME "what it does" "how long it usually takes" FUNCTION [ARGUMENT...]
# Runs FUNCTION in a shell of its own; its output goes to a log that is shown when it fails.
step() {
  local name=$1 what=$2 usual=$3 began=$SECONDS status
  shift 3
  local log=$CACHE/log/$name.log
  mkdir -p "$CACHE/log"
  say "  $name: $what (usually $usual) …"
  set -m # a process group of its own, so that all of it can be stopped
  (set -euo pipefail; "$@") >"$log" 2>&1 </dev/null &
  CHILD=$!
  set +m
  status=0
  wait "$CHILD" || status=$?
  CHILD=''
  if [ "$status" -ne 0 ]; then
    tail -n 8 "$log" | cut -c1-200 | sed 's/^/    | /' >&2
    fail "$name could not be made" "The last lines above say it; all of them are in $log." \
      "Put right what they name, then run the same command again. Nothing half-made is left."
  fi
  say "  $name: done in $((SECONDS - began)) s"
}

# stop STATUS: interrupted; what is running ends first, then what it half made goes.
CHILD=''
stop() {
  local waited=0
  if [ -n "$CHILD" ]; then
    kill -TERM -- "-$CHILD" 2>/dev/null || true
    while kill -0 -- "-$CHILD" 2>/dev/null; do
      waited=$((waited + 1))
      [ "$waited" -lt 100 ] || kill -KILL -- "-$CHILD" 2>/dev/null || true
      sleep 0.1
    done
  fi
  say "Interrupted. Nothing half-made is left; the same command goes on from here."
  exit "$1"
}

# making NAME: an empty folder to work in, on the same file system as the cache.
making() {
  local folder=$MAKING/$1
  rm -rf "$folder"
  mkdir -p "$folder"
  printf '%s\n' "$folder"
}

# keep FOLDER PLACE: what was made becomes visible, all at once.
keep() {
  mkdir -p "$(dirname "$2")"
  rm -rf "$2"
  mv -T "$1" "$2"
}

# lock: one set-up at a time per cache; what a killed one left behind goes.
lock() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/.lock"
  if ! flock -n 9; then
    say "Another set-up is at work on $CACHE; waiting for it."
    flock 9
  fi
  trap 'rm -rf --one-file-system "$MAKING"' EXIT
  trap 'stop 130' INT
  trap 'stop 143' TERM HUP
  rm -rf --one-file-system "$MAKING"
}

# remember: current.json, replaced in one move, and only when it changes.
remember() {
  local new name separator=''
  new=$(
    printf '{'
    for name in $(printf '%s\n' "${!PLACES[@]}" | sort); do
      printf '%s\n  "%s": "%s"' "$separator" "$name" "${PLACES[$name]}"
      separator=','
    done
    printf '\n}'
  )
  [ "$new" = "$(cat "$CACHE/current.json" 2>/dev/null)" ] && return
  printf '%s\n' "$new" >"$CACHE/current.json.$$"
  mv "$CACHE/current.json.$$" "$CACHE/current.json"
}
