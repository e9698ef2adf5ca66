# shellcheck shell=bash
# What the lab is made of: a plain Debian root for its hosts, and the programs it runs itself.

# A vendor's image, and no more.
ROOTFS_PACKAGES=systemd,systemd-sysv,dbus,openssh-server,python3,iproute2,netbase,ca-certificates,sudo,curl,procps
ROOTFS_PACKAGES+=,iputils-ping,apt,e2fsprogs
ROOTFS=$CACHE/rootfs/$(digest "$ROOTFS_PACKAGES" 1)

# Programs, with all they need …
TOOLS_PACKAGES=(
  systemd-container mmdebstrap nftables iproute2         # to make hosts and their networks
  pdns-server pdns-backend-sqlite3 sqlite3 unbound       # names
  postgresql-15                                          # the tests' own database
  fortune-mod
)
# … and what is only read: thousands of short posts, about a hundred pictures.
TOOLS_DATA=(
  fortunes fortunes-min
  desktop-base lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds ukui-wallpapers
)
TOOLS_PROGRAMS=(
  usr/bin/systemd-nspawn usr/sbin/nft bin/ip bin/ss sbin/tc sbin/bridge
  usr/sbin/pdns_server usr/bin/pdnsutil usr/bin/sqlite3 usr/sbin/unbound usr/sbin/unbound-checkconf
  usr/games/fortune
)
TOOLS=$CACHE/tools/$(digest "${TOOLS_PACKAGES[@]}" "${TOOLS_DATA[@]}" "${TOOLS_PROGRAMS[@]}" 1)

BROWSER_PACKAGES=(chromium fonts-dejavu-core fonts-liberation2)
BROWSER=$CACHE/browser/$(digest "${BROWSER_PACKAGES[@]}" 2)

tools_make() {
  local folder program
  folder=$(making tools)
  debian_apt /dev/null
  debian_unpack "$folder/root" "${TOOLS_PACKAGES[@]}"
  debian_data "$folder/root" "${TOOLS_DATA[@]}"
  for program in "${TOOLS_PROGRAMS[@]}"; do
    debian_wrapper "$folder/root" "$folder/bin" "$(basename "$program")" "$program"
  done
  "$folder/bin/systemd-nspawn" --version
  "$folder/bin/nft" --version
  "$folder/bin/unbound" -V
  "$folder/bin/pdns_server" --version || [ $? -eq 99 ]
  keep "$folder" "$TOOLS"
}

rootfs_make() {
  local folder unpacked=$TOOLS/root acquire=()
  folder=$(making rootfs)
  debian_sources >"$folder/sources.list"
  apt-config dump Acquire | grep -E '^Acquire::https?::[Pp]roxy' >"$folder/proxy" || true
  [ ! -s "$folder/proxy" ] || acquire=(--aptopt="$folder/proxy")
  PERL5LIB=$(printf '%s:' "$unpacked"/usr/share/perl/5.* "$unpacked"/usr/lib/*/perl/5.* "$unpacked"/usr/share/perl5) \
    TMPDIR=$folder unshare --mount "$unpacked/usr/bin/mmdebstrap" --mode=root --format=directory --variant=minbase \
    --include="$ROOTFS_PACKAGES" --aptopt='Acquire::Languages "none"' "${acquire[@]}" \
    bookworm "$folder/root" "$folder/sources.list"
  rootfs_plain "$folder/root"
  rm -rf "$folder/sources.list" "$folder/proxy"
  keep "$folder" "$ROOTFS"
}

# What belongs to one host or to this machine is not part of an image.
rootfs_plain() {
  rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/resolv.conf "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/log/*.log
  rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/archives/*.deb
  printf 'uninitialized\n' >"$1/etc/machine-id"
  printf 'debian\n' >"$1/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost ip6-loopback\n' >"$1/etc/hosts"
}

browser_make() {
  local folder
  folder=$(making browser)
  debian_apt /dev/null
  debian_unpack "$folder/root" "${BROWSER_PACKAGES[@]}"
  debian_wrapper "$folder/root" "$folder/bin" chromium usr/lib/chromium/chromium
  cat >"$folder/fonts.conf" <<FONTS
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$BROWSER/root/usr/share/fonts</dir>
  <cachedir>$BROWSER/fonts</cachedir>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>Liberation Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
FONTS
  sed -i "s|^exec|export FONTCONFIG_FILE=$BROWSER/fonts.conf\nexec|" "$folder/bin/chromium"
  keep "$folder" "$BROWSER"
}
