#!/usr/bin/env bash
# Prints the versions of a lock file as pip's constraints: without their hashes, which pip would ask of a clone as well.
set -euo pipefail
sed -nE 's/^([A-Za-z0-9._-]+==[^\\]*[^\\ ]).*$/\1/p' "${1:?requirements.lock}"
