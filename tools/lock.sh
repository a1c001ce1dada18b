#!/usr/bin/env bash
# Writes requirements.lock from pyproject.toml: every package of run time and development, pinned, with its hashes.
# Pins that still satisfy pyproject.toml stay; `tools/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
export CUSTOM_COMPILE_COMMAND="make lock"
/usr/bin/python3 -m venv --clear .venv/lock
.venv/lock/bin/python -m pip --disable-pip-version-check --quiet install pip-tools==7.6.2
# Nothing of this machine (index, local folders, options) goes into the file.
.venv/lock/bin/pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --strip-extras \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
    --output-file requirements.lock "$@" pyproject.toml
