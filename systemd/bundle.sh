#!/usr/bin/env bash
# Packs everything a box without a network needs into one tar below dist/: `make bundle`.
#
# Wheels are for the Python and the processor of this machine, in the versions of the lock, and each is one whose hash
# stands there. PYTHON is an interpreter of a virtual environment that has the locked packages.
set -euo pipefail
if (($#)); then
  [[ $1 != -h && $1 != --help ]] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
  echo "bundle: unexpected $1; usage: systemd/bundle.sh, with PYTHON and NETWORKS in the environment" >&2
  exit 2
fi
cd "$(dirname "$0")/.."

readonly PYTHON=${PYTHON:-.venv/bin/python} NETWORKS=${NETWORKS:-movenet-multipose}
pip=("$PYTHON" -m pip -qq --disable-pip-version-check)

version=$("$PYTHON" -c 'import agent; print(agent.__version__)')
made_for=$("$PYTHON" -c 'import platform; print(*platform.python_version_tuple()[:2], platform.machine())')
name=edgepose-$version-python${made_for// /-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
folder=$scratch/$name
mkdir -p "$folder/wheels" dist build/networks
rm -f dist/edgepose-*.tar*

echo "bundle: wheels"
bash systemd/constraints.sh requirements.lock >"$scratch/constraints"
"${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$scratch/own" .
own=("$scratch"/own/edgepose-*.whl)
"${pip[@]}" download --only-binary :all: --constraint "$scratch/constraints" --dest "$folder/wheels" \
  "edgepose[agent] @ file://${own[0]}"
for wheel in "$folder"/wheels/*; do
  [[ ${wheel##*/} != edgepose-* ]] || continue
  hash=$(sha256sum "$wheel" | cut -d ' ' -f 1)
  grep -q "sha256:$hash" requirements.lock || { echo "bundle: ${wheel##*/} is not the locked file" >&2; exit 1; }
done

echo "bundle: networks"
# shellcheck disable=SC2086 # several names
"$PYTHON" -m models.cli fetch $NETWORKS --files-to build/networks
cp -r build/networks "$folder/models"

install -m 0755 systemd/install.sh systemd/edgepose-agent "$folder"
install -m 0644 systemd/edgepose-agent@.service systemd/{README.md,NOTICE} configs/agent.toml LICENSE "$folder"
echo "$made_for" >"$folder/MADE_FOR"
(cd "$folder" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$scratch/sums"
mv "$scratch/sums" "$folder/SHA256SUMS"
tar --sort=name --owner=0 --group=0 --numeric-owner -cf "dist/$name.tar" -C "$scratch" "$name"
(cd dist && sha256sum "$name.tar" >"$name.tar.sha256")
echo "bundle: dist/$name.tar, $(du -h --apparent-size "dist/$name.tar" | cut -f 1)"
