# shellcheck shell=bash
# Debian packages, without touching the machine's own: apt works on folders of ours,
# packages are unpacked into the cache, and nothing is installed, started or enabled.

DEBS=$CACHE/debs
LIBC='libc6_|libc-bin_|libc-l10n_|locales_|perl-base_|dpkg_|apt_|libapt-pkg'  # the machine's own are used

# The machine's own Debian sources (its mirror, its proxy), main only, nobody else's.
debian_sources() { "$PYTHON" "$CHECKOUT/scripts/parts/sources.py"; }

# debian_apt STATUS: an apt of our own in a folder; the file STATUS says what counts as installed.
debian_apt() {
  local folder
  folder=$(making apt)
  mkdir -p "$folder"/{state/lists/partial,parts} "$DEBS/partial"
  debian_sources >"$folder/sources.list"
  [ -s "$folder/sources.list" ] || fail "No Debian 12 package source" \
    "apt's configuration names no bookworm main repository." "Add one to /etc/apt/sources.list and run this again."
  {
    apt-config dump Acquire | grep -E '^Acquire::(http|https|ftp|Check|Retries)' || true
    printf '%s "%s";\n' Dir::State "$folder/state" Dir::State::status "$1" Dir::Cache::archives "$DEBS" \
      Dir::Cache "$folder" Dir::Etc::sourcelist "$folder/sources.list" Dir::Etc::sourceparts - \
      Dir::Etc::parts "$folder/parts" Dir::Etc::main - Acquire::Languages none Acquire::Retries 3 \
      APT::Install-Recommends false APT::Sandbox::User root APT::Get::Assume-Yes true
  } >"$folder/apt.conf"
  export APT_CONFIG=$folder/apt.conf
  apt-get -q -o APT::Update::Error-Mode=any update
}

# debian_fetch PACKAGE...: them and all they need into $DEBS; prints the files.
debian_fetch() {
  local file files
  apt-get -q install --download-only "$@" >&2
  mkdir -p "$MAKING/none/partial"
  files=$(apt-get -q -o Dir::Cache::archives="$MAKING/none" install --print-uris "$@" |
    sed -n "s|^'[^']*' \([^ ]*\) .*|$DEBS/\1|p")
  for file in $files; do
    [ -e "$file" ] || fail "A package is missing" "apt did not download $file." "Run this again."
  done
  printf '%s\n' "$files"
}

# debian_unpack ROOT PACKAGE...: them and all they need, unpacked, never installed.
debian_unpack() {
  local root=$1 files file
  shift
  files=$(debian_fetch "$@")
  mkdir -p "$root"
  for file in $(grep -vE "/($LIBC)" <<<"$files"); do dpkg-deb -x "$file" "$root"; done
}

# debian_data ROOT PACKAGE...: these alone, for what is in them.
debian_data() {
  local root=$1 folder file
  shift
  folder=$(making data)
  (cd "$folder" && apt-get -q download "$@")
  for file in "$folder"/*.deb; do dpkg-deb -x "$file" "$root"; done
  rm -rf "$folder"
}

# debian_wrapper ROOT BIN NAME PATH-IN-ROOT: a program that finds its libraries beside itself.
debian_wrapper() {
  local libs='$R/usr/lib/$T:$R/lib/$T:$R/usr/lib/$T/systemd:$R/lib/$T/systemd'
  libs+=':$R/usr/lib/$T/nss:$R/usr/lib/$T/pulseaudio'
  [ -x "$1/$4" ] || fail "$3 is not in its package" "$4 was not unpacked." "Report this with the log."
  mkdir -p "$2"
  cat >"$2/$3" <<WRAPPER
#!/bin/sh
R=\$(cd "\${0%/*}/../root" && pwd) T=$(debian_triplet)
export LD_LIBRARY_PATH="$libs"
exec "\$R/$4" "\$@"
WRAPPER
  chmod 755 "$2/$3"
}

# The folder libraries of this architecture are in.
debian_triplet() { printf '%s-linux-gnu' "$(uname -m)"; }
