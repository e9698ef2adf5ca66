# shellcheck shell=bash
# Whether this machine can, tried and not guessed; and what set-up is going to do.

DISK_NEEDED_MB=7000

CANNOT=()                 # what this machine can't, one line each
SEEN=()                   # what was found

# can NAME "why it is needed" COMMAND...: tries COMMAND.
can() {
  local name=$1 why=$2
  shift 2
  if "$@" >/dev/null 2>&1; then SEEN+=("$name yes"); else SEEN+=("$name NO"); CANNOT+=("$name: $why"); fi
}

is_root() { [ "$(id -u)" -eq 0 ]; }
is_debian() { (. /etc/os-release && [ "$ID:$VERSION_ID" = debian:12 ]) && command -v apt-get dpkg-deb; }
has_python() { [ -n "$PYTHON" ]; }
has_namespaces() { unshare --net --mount --pid --fork true; }
has_cgroups() { grep -qw cgroup2 /proc/mounts && [ -w /sys/fs/cgroup ]; }

has_disk() {
  local free
  free=$(df -Pm "$(nearest "$CACHE")" | awk 'NR == 2 { print $4 }')
  [ "${#WILL[@]}" -eq 0 ] || [ "$free" -ge "$DISK_NEEDED_MB" ]
}

# Host roots are overlays on one plain root.
has_overlay() {
  local folder status=0
  folder=$(mktemp -d "$(nearest "$CACHE")/.overlay-XXXXXX") || return 1
  mkdir "$folder"/{lower,upper,work,merged}
  unshare --mount mount -t overlay overlay \
    -o "lowerdir=$folder/lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/merged" || status=1
  rm -rf "$folder"
  return "$status"
}

# nearest FOLDER: it, or the closest one above that is there.
nearest() {
  local folder=$1
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  printf '%s\n' "$folder"
}

# What is missing here: "name|minutes|MB|what".
WILL=()
machine_will() {
  python_ready || WILL+=("venv|1|600|a virtual environment in .venv, from the hash-locked requirements")
  if [ "$1" = simulate ]; then return; fi
  [ -d "$TOOLS" ] || WILL+=("tools|1|900|Debian packages the lab runs, unpacked and not installed")
  [ -d "$ROOTFS" ] || WILL+=("rootfs|1|400|a plain Debian 12 root for lab hosts")
  [ -n "$(engine_place)" ] || WILL+=("engine|7|2500|the Pulumi engine $ENGINE_VERSION (1 minute where its installer can be reached)")
  [ -x "$RESTIC" ] || WILL+=("restic|2|700|restic $RESTIC_VERSION")
  [ -d "$SUPPLIES" ] || WILL+=("supplies|1|250|what hosts are set up from: packages, environment, restic")
  [ "$1" != tests ] || [ -d "$BROWSER" ] || WILL+=("browser|1|700|Chromium for the tests, unpacked and not installed")
  [ "$1" != tests ] || [ -d "$AXE" ] || WILL+=("axe|1|10|axe $AXE_VERSION, which looks at pages for people who can't see or use a mouse")
}

# machine_plan MODE: says what will be done, where, how long, how much.
machine_plan() {
  local line name minutes size what all_minutes=0 all_size=0
  machine_will "$1"
  [ "${#WILL[@]}" -gt 0 ] || { say "Set-up: all there, in $CACHE and .venv"; return; }
  say "Set-up makes these, in $CACHE and .venv; it installs nothing on this machine and starts no service:"
  for line in "${WILL[@]}"; do
    IFS='|' read -r name minutes size what <<<"$line"
    printf '  %-9s %2s min  %5s MB   %s\n' "$name" "$minutes" "$size" "$what"
    all_minutes=$((all_minutes + minutes)) all_size=$((all_size + size))
  done
  printf '  %-9s %2s min  %5s MB   at most, on two cores\n' together "$all_minutes" "$all_size"
}

# machine_check MODE: tries what the lab needs; sets CANNOT.
machine_check() {
  can "Python 3.11" "everything here is written for Debian 12's Python" has_python
  if [ "$1" != simulate ]; then
    can root "lab hosts need namespaces and mounts: run it with sudo" is_root
    can "Debian 12" "its packages are what hosts and the lab are made of" is_debian
    can namespaces "each vendor's hosts live in network namespaces of their own" has_namespaces
    can overlay "each host is an overlay on one plain root, in $(nearest "$CACHE")" has_overlay
    can cgroups "systemd-nspawn boots hosts in control groups (version 2)" has_cgroups
    can "disk" "$DISK_NEEDED_MB MB must be free in $(nearest "$CACHE")" has_disk
  fi
  say "This machine: $(printf '%s, ' "${SEEN[@]}" | sed 's/, $//')"
}

# machine_refuse COMMAND: tells what is in the way, and the way round it.
machine_refuse() {
  say "This machine can't run the lab:"
  printf '  %s\n' "${CANNOT[@]}"
  say "What works here: scripts/drill --simulate (the same plan and report on a simulated world, Python only, a minute)."
  exit 1
}
