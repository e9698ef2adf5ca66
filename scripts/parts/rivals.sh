#!/usr/bin/env bash
# Prints where pgBackRest is, after unpacking Debian's into the cache: only `scripts/bench replication` needs it.
set -euo pipefail
PARTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source-path=SCRIPTDIR
for part in common python debian; do . "$PARTS/$part.sh"; done

RIVALS=$CACHE/rivals/$(digest pgbackrest 1)

rivals_make() {
  local folder
  folder=$(making rivals)
  debian_apt /dev/null
  debian_unpack "$folder/root" pgbackrest
  debian_wrapper "$folder/root" "$folder/bin" pgbackrest usr/bin/pgbackrest
  "$folder/bin/pgbackrest" version
  keep "$folder" "$RIVALS"
}

if [ ! -d "$RIVALS" ]; then
  lock >&2
  step rivals "pgBackRest from Debian, for the bench alone" "30 s" rivals_make >&2
fi
printf '%s\n' "$RIVALS/bin/pgbackrest"
