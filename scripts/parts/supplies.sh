# shellcheck shell=bash
# Supplies: all that a plain Debian host needs to become a site, so that no registry is needed then.

SUPPLIES_PACKAGES=(postgresql-15 caddy)
SUPPLIES=$CACHE/supplies/$(digest "${SUPPLIES_PACKAGES[@]}" "${ROOTFS##*/}" "$RESTIC_VERSION" \
  "$(cat "$CHECKOUT/requirements/host.txt" "$CHECKOUT/scripts/parts/supplies.py")" 1)

supplies_make() {
  local folder
  folder=$(making supplies)
  supplies_debs "$folder"
  supplies_env "$folder"
  install -m 755 "$RESTIC" "$folder/restic"
  "$PYTHON" "$CHECKOUT/scripts/parts/supplies.py" manifest "$folder"
  keep "$folder" "$SUPPLIES"
}

# supplies_debs FOLDER: what the plain root lacks, packed again so that it unpacks three times faster.
supplies_debs() {
  local files
  mkdir -p "$1/debs"
  debian_apt "$ROOTFS/root/var/lib/dpkg/status"
  files=$(debian_fetch "${SUPPLIES_PACKAGES[@]}")
  xargs <<<"$files" -P "$(nproc)" -I{} sh -euc '
    name=$(basename "$1")
    dpkg-deb --raw-extract "$1" "$2/raw-$name"
    dpkg-deb --root-owner-group -Zzstd -z3 --build "$2/raw-$name" "$2/debs/$name" >/dev/null
    rm -rf "$2/raw-$name"' sh {} "$1"
  tar --create --file "$1/debs.tar" --directory "$1/debs" --sort=name --mtime=@0 --owner=0 --group=0 .
  rm -rf "$1/debs"
}

# supplies_env FOLDER: a virtual environment, ready made for /opt/resilience/env and Debian's Python.
supplies_env() {
  local lock=$CHECKOUT/requirements/host.txt site=$1/env/lib/python3.11/site-packages
  mkdir -p "$site" "$1/env/bin"
  python_index
  if [ -x "$UV" ]; then
    "$UV" pip install --python "$PYTHON" --target "$site" --require-hashes --only-binary :all: --link-mode copy -r "$lock"
  else
    python_pip install --target "$site" --require-hashes --no-deps --only-binary :all: -r "$lock"
  fi
  ln -s /usr/bin/python3 "$1/env/bin/python3"
  ln -s python3 "$1/env/bin/python"
  printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >"$1/env/pyvenv.cfg"
  "$PYTHON" "$CHECKOUT/scripts/parts/supplies.py" trim "$site"
  "$PYTHON" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -s "$site" -p /opt/resilience/env/lib/python3.11/site-packages "$site"
  "$PYTHON" -I "$CHECKOUT/scripts/parts/supplies.py" try "$site"
  tar --create --directory "$1/env" --sort=name --mtime=@0 --owner=0 --group=0 . | gzip -n -6 >"$1/env.tar.gz"
  rm -rf "$1/env"
}
