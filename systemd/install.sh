#!/usr/bin/env bash
# Installs, upgrades or removes an edgepose agent as a service of a Debian or Ubuntu box.
set -euo pipefail
umask 022

readonly HOME_DIR=/opt/edgepose ETC=/etc/edgepose STATE=/var/lib/edgepose CACHE=/var/cache/edgepose
readonly MODULES=/etc/modules-load.d/edgepose.conf
readonly TOOL=edgepose-agent TOOLS=/usr/local/bin
readonly UNIT=edgepose-agent@.service UNITS=/etc/systemd/system ACCOUNT=edgepose NETWORK=movenet-multipose
readonly PYTHON=${PYTHON:-python3} PYTHON_MIN=3.11

usage() {
  cat <<'HELP'
usage: install.sh DEVICE                     install from this clone, or upgrade to it
       install.sh DEVICE --offline BUNDLE    the same from the tar that `make bundle` made, without a network
       install.sh DEVICE --uninstall         remove the service; configuration and networks stay
       install.sh DEVICE --uninstall --purge remove those too, and what the broker keeps of DEVICE

DEVICE is the agent's name on the broker, for example gym-01: lower-case letters, digits, dashes. Each camera of a box
has one. Run it as root. PYTHON names the interpreter, by default python3; 3.11 or newer is needed.

  /etc/edgepose/DEVICE.toml         configuration: made once, never changed by an upgrade
  /etc/edgepose/DEVICE.credentials  folder of passwords and keys, for root alone
  /opt/edgepose/versions            the version in use and the one before it; `current` points to the former
  /var/lib/edgepose                 networks, and what commands asked for
  /usr/local/bin/edgepose-agent     the agent's commands as the service sees the box, `edgepose-agent doctor` above all

An upgrade takes over only if the new version accepts the configuration of every service of the box and its network
answers as it should; if the service then does not come up, the version before comes back.
HELP
}

say() { echo "install: $*"; }

fail() {
  echo "install: error: $1" >&2
  [[ -z ${2-} ]] || echo "install: hint: $2" >&2
  exit 1
}

parse() {
  device='' bundle='' uninstall='' purge=''
  while (($#)); do
    case $1 in
      -h | --help) usage && exit ;;
      --offline) bundle=${2:?--offline needs the bundle} && shift ;;
      --uninstall) uninstall=yes ;;
      --purge) purge=yes ;;
      -*) fail "unknown option $1" "install.sh --help" ;;
      *) [[ -z $device ]] || fail "one device at a time, not $device and $1"; device=$1 ;;
    esac
    shift
  done
  [[ $device =~ ^[a-z0-9][a-z0-9-]{0,62}$ ]] ||
    fail "the device's name is \"$device\", expected lower-case letters, digits, dashes" "install.sh --help"
  [[ -z $purge || -n $uninstall ]] || fail "--purge goes with --uninstall"
}

require_box() {
  ((EUID == 0)) || fail "not root" "sudo $0 ..."
  command -v systemctl >/dev/null || fail "this box has no systemd, which is to run the service"
  exec 9>/run/edgepose-install.lock
  flock -n 9 || fail "another install.sh is at work"
}

require_python() {
  command -v "$PYTHON" >/dev/null || fail "$PYTHON is not installed" "apt-get install python3 python3-venv"
  local found
  found=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$PYTHON" -c "import sys; sys.exit(sys.version_info < (${PYTHON_MIN/./,}))" ||
    fail "$PYTHON is Python $found, at least $PYTHON_MIN is needed" "Debian 12, Ubuntu 24.04, or PYTHON=/path/to/newer"
  "$PYTHON" -c 'import ensurepip' 2>/dev/null || fail "$PYTHON makes no virtual environments" "apt-get install python3-venv"
}

running() { [[ -d /run/systemd/system ]]; }

# Devices whose service starts with the box.
devices() {
  local link
  for link in "$UNITS"/multi-user.target.wants/edgepose-agent@*.service; do
    [[ ! -L $link ]] || basename "${link#*@}" .service
  done
}

unpack() {
  if [[ -f $bundle ]]; then
    tar -xf "$bundle" -C "$scratch"
    bundle=$(echo "$scratch"/edgepose-*/)
  fi
  [[ -f $bundle/SHA256SUMS ]] || fail "$bundle is no bundle: it has no SHA256SUMS" "make bundle makes one"
  (cd "$bundle" && sha256sum --quiet --check SHA256SUMS) || fail "the bundle is damaged" "copy it again"
  local made_for here
  made_for=$(<"$bundle/MADE_FOR")
  here=$("$PYTHON" -c 'import platform; print(*platform.python_version_tuple()[:2], platform.machine())')
  [[ $made_for == "$here" ]] || fail "the bundle is for Python $made_for, this box has $here" \
    "make bundle on a machine with the box's Python and processor"
}

# Folders and the account the service runs under.
prepare() {
  local group
  for group in video render; do
    getent group "$group" >/dev/null || groupadd --system "$group"
  done
  getent passwd "$ACCOUNT" >/dev/null ||
    useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$ACCOUNT"
  install -d "$HOME_DIR/versions" "$ETC"
  install -d -o "$ACCOUNT" -g "$ACCOUNT" -m 0750 "$STATE" "$CACHE"
  install -d -m 0700 "$ETC/$device.credentials"
}

# A new version beside the one in use, which knows nothing of it.
build() {
  local sources pip
  sources=${bundle:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
  new=$HOME_DIR/versions/$(date -u +%Y%m%d-%H%M%S)-$$
  say "building ${new##*/}"
  "$PYTHON" -m venv "$new"
  pip=("$new/bin/python" -m pip install --quiet --disable-pip-version-check)
  if [[ -n $bundle ]]; then
    "${pip[@]}" --no-index --find-links "$bundle/wheels" 'edgepose[agent]'
    install -m 0644 "$bundle/$UNIT" "$bundle/agent.toml" "$new"
    install -m 0755 "$bundle/$TOOL" "$new"
    cp -r "$bundle/models" "$scratch/networks"
    chmod -R a+rX "$scratch/networks"
    fetch --from "$scratch/networks"
  else
    bash "$sources/systemd/constraints.sh" "$sources/requirements.lock" >"$scratch/constraints"
    "${pip[@]}" --constraint "$scratch/constraints" "${sources}[agent]"
    install -m 0644 "$sources/systemd/$UNIT" "$sources/configs/agent.toml" "$new"
    install -m 0755 "$sources/systemd/$TOOL" "$new"
    fetch
  fi
}

fetch() { (cd / && runuser -u "$ACCOUNT" -- "$new/bin/models" fetch "$NETWORK" --models-dir "$STATE/models" "$@"); }

configure() {
  if [[ -e $ETC/$device.toml ]]; then
    say "$ETC/$device.toml is kept"
  else
    install -m 0644 "$new/agent.toml" "$ETC/$device.toml"
    say "$ETC/$device.toml is made: name your camera and broker there"
  fi
}

# The new version is to run every service of the box, which share it.
check() {
  local name
  for name in $( (echo "$device" && devices) | sort -u); do
    say "checking $name"
    check_one "$name" || return 1
  done
}

# With the configuration as the service would read it.
check_one() (
  secrets=$scratch/$1.credentials
  mkdir -m 0700 "$secrets"
  for secret in "$ETC/$1.credentials"/*; do
    [[ ! -e $secret ]] || ln -sf "$secret" "$secrets/edgepose_${secret##*/}"
  done
  export EDGEPOSE_DEVICE_ID=$1 STATE_DIRECTORY=$STATE CACHE_DIRECTORY=$CACHE CREDENTIALS_DIRECTORY=$secrets
  if [[ -e $ETC/$1.env ]]; then
    while IFS='=' read -r name value; do
      [[ ! $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || export "$name=$(unquoted "$value")"
    done <"$ETC/$1.env"
  fi
  cd / && "$new/bin/agent" check-config --engine "$ETC/$1.toml"
)

unquoted() {
  local text=$1
  [[ ! $text =~ ^\"(.*)\"$ && ! $text =~ ^\'(.*)\'$ ]] || text=${BASH_REMATCH[1]}
  echo "$text"
}

# The service may open cameras by the name of their kind, which the kernel knows once its module is loaded: else a camera
# that is plugged in later stays forbidden until the service starts anew. Only what the kernel has is named.
modules() {
  local module found=()
  for module in videodev uvcvideo; do
    ! modinfo "$module" >/dev/null 2>&1 || found+=("$module")
  done
  [[ ${#found[@]} -gt 0 ]] || return 0
  install -d "${MODULES%/*}"
  printf '%s\n' "# Kinds of device that edgepose-agent@.service may open." "${found[@]}" >"$MODULES"
  ! running || modprobe --all --quiet "${found[@]}" || true
}

# One rename, so that there is always a version in use.
use() {
  ln -sfn "versions/$1" "$HOME_DIR/current.new"
  mv -T "$HOME_DIR/current.new" "$HOME_DIR/current"
  install -m 0644 "$HOME_DIR/current/$UNIT" "$UNITS/$UNIT"
  [[ ! -e $HOME_DIR/current/$TOOL ]] || install -D -m 0755 "$HOME_DIR/current/$TOOL" "$TOOLS/$TOOL"
  ! running || systemctl daemon-reload
}

# systemctl returns when the agent said that it is ready, or that it never will be.
restart() {
  local name
  for name in $(devices); do
    say "starting edgepose-agent@$name"
    systemctl restart "edgepose-agent@$name" || return 1
  done
}

upgrade() {
  local before=''
  new=''
  [[ ! -L $HOME_DIR/current ]] || before=$(basename "$(readlink "$HOME_DIR/current")")
  trap 'rm -rf "$scratch" "$new"' EXIT
  build
  configure
  modules
  check || fail "the new version fails its check and is removed; nothing else has changed"
  trap 'rm -rf "$scratch"' EXIT
  use "${new##*/}"
  systemctl enable --quiet "edgepose-agent@$device"
  if ! running; then
    say "systemd does not run here: edgepose-agent@$device is enabled, and starts with the box"
  elif ! restart; then
    [[ -n $before ]] || fail "the service does not come up" "journalctl -u edgepose-agent@$device"
    use "$before"
    restart || true
    rm -rf "$new"
    fail "the service does not come up with the new version: the one before is back" \
      "journalctl -u edgepose-agent@$device"
  fi
  tidy "$before"
  say "edgepose-agent@$device uses ${new##*/}: $("$new/bin/agent" --version)"
  say "$TOOL $device doctor says what is missing on this box, and the cure"
}

# The version before stays, for whoever wants it back by hand.
tidy() {
  local version
  for version in "$HOME_DIR"/versions/*; do
    [[ $version == "$new" || ${version##*/} == "$1" ]] || rm -rf "$version"
  done
}

remove() {
  local now=()
  ! running || now=(--now)
  [[ ! -e $UNITS/$UNIT ]] || systemctl disable --quiet "${now[@]}" "edgepose-agent@$device"
  [[ -z $purge || ! -x $TOOLS/$TOOL || ! -e $ETC/$device.toml ]] || "$TOOLS/$TOOL" "$device" forget ||
    say "the broker still knows $device: controller forget $device"
  [[ -z $purge ]] || rm -rf "$ETC/$device".{toml,env,credentials} "$STATE/control/$device".json
  if [[ -z $(devices) ]]; then
    rm -rf "$HOME_DIR" "$CACHE" "${UNITS:?}/$UNIT" "$MODULES" "${TOOLS:?}/$TOOL"
    [[ -z $purge ]] || purge_box
    ! running || systemctl daemon-reload
  fi
  say "edgepose-agent@$device is removed${purge:+, with what it knew}"
}

purge_box() {
  rm -rf "$STATE" "$ETC"
  ! getent passwd "$ACCOUNT" >/dev/null || userdel "$ACCOUNT"
}

main() {
  parse "$@"
  require_box
  if [[ -n $uninstall ]]; then
    remove
    return
  fi
  require_python
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  chmod 0755 "$scratch" # the service's account reads networks from it
  [[ -z $bundle ]] || unpack
  prepare
  upgrade
}

main "$@"
