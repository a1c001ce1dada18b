#!/usr/bin/env bash
# Brings this machine to the state that every make target needs: Debian packages, then `.venv`.
# Work that is done is not done again. `tools/setup.sh packages` stops after the packages, the part that needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

PACKAGES=(
    kamailio                 # the SIP server
    kamailio-python3-modules # app_python3: our code inside its workers
    redis-server             # configuration, and the money of running calls
    redis-sentinel           # says which of several Redis servers is the master
    postgresql-15            # the truth
    sip-tester               # sipp: the phones and carriers of demo and tests
    rtpengine-daemon         # the relay of sound, where an account asks for one (60 MB with its codecs)
    baresip-core             # a phone of somebody else's, for the tests (35 MB with its libraries)
    gcc                      # `make compile`: machine code of what runs inside Kamailio
    python3-dev              # the same: the headers of its interpreter
    python3-venv             # the virtual environment of the interpreter that Kamailio embeds
    kamailio-postgres-modules # db_postgres: what `make bench` compares with
    kamailio-lua-modules     # app_lua: the same
    kamailio-redis-modules   # ndb_redis: the same
    libxml2-utils            # xmllint: checks the scenarios
    lua-check                # luacheck: checks the Redis functions
    shellcheck               # checks the shell files
    prometheus               # promtool: checks the alert rules, and tries them on nights that were (90 MB)
)
SERVICES=(kamailio redis-server redis-sentinel rtpengine-daemon prometheus) # what the packages would start, now and at every boot
PYTHON=/usr/bin/python3
VENV=.venv
STAMP=$VENV/.tandem-installed
GUARD=/usr/sbin/policy-rc.d
GUARD_MARK="# made by tandem's tools/setup.sh, gone when it ends"
NO_CLUSTER=/etc/postgresql-common/createcluster.d/tandem-setup.conf

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_of() {
    local package
    for package in "$@"; do installed "$package" || echo "$package"; done
}

running_services() {
    if [ -d /run/systemd/system ]; then
        systemctl list-units --type=service --state=active --plain --no-legend | sed 's/\.service .*//'
    else
        timeout 30 service --status-all 2>/dev/null </dev/null | sed -n 's/^ \[ + \]  //p'
    fi
}

# While packages are installed no service starts, except one that ran before and was stopped for its new version.
raise_guard() {
    {
        printf '#!/bin/sh\n%s\n' "$GUARD_MARK"
        # shellcheck disable=SC2016  # $1 belongs to the script that is written
        printf 'case "$1" in\n'
        running_services | while read -r name; do printf '"%s" | "%s.service") exit 0 ;;\n' "$name" "$name"; done
        printf '*) exit 101 ;;\nesac\n'
    } >"$GUARD.tandem-new"
    chmod 755 "$GUARD.tandem-new"
    if [ -e "$GUARD" ] || [ -L "$GUARD" ]; then mv "$GUARD" "$GUARD.before-tandem"; fi
    mv "$GUARD.tandem-new" "$GUARD"
    # Debian would make a cluster of its own, started at every boot, beside the private one.
    mkdir -p "$(dirname "$NO_CLUSTER")"
    echo "create_main_cluster = false" >"$NO_CLUSTER"
}

lower_guard() {
    if grep -qsF "$GUARD_MARK" "$GUARD"; then rm -f "$GUARD"; fi
    if [ -e "$GUARD.before-tandem" ] || [ -L "$GUARD.before-tandem" ]; then mv "$GUARD.before-tandem" "$GUARD"; fi
    rm -f "$GUARD.tandem-new" "$NO_CLUSTER"
    rmdir "$(dirname "$NO_CLUSTER")" 2>/dev/null || true
}

apt_install() {
    local log new_services service
    log=$(mktemp)
    mapfile -t new_services < <(missing_of "${SERVICES[@]}")
    say "apt-get update, to know the current packages"
    apt-get update -qq || say "apt-get update failed; going on with the package lists that are here"
    say "installing $*: the servers, the SIP tester and the checkers; no service is started"
    if ! apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install the packages: mend what the lines above name, then run this command again."
    fi
    rm -f "$log"
    for service in "${new_services[@]}"; do update-rc.d "$service" disable >/dev/null 2>&1 || true; done
}

install_packages() {
    local -a missing
    mapfile -t missing < <(missing_of "${PACKAGES[@]}")
    [ ${#missing[@]} -gt 0 ] || return 0
    local release
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")
    [ "$release" = "debian 12" ] || fail "Tandem's packages come from Debian 12 and this is '$release': use a Debian 12 machine."
    [ "$(id -u)" -eq 0 ] ||
        fail "Debian packages are missing (${missing[*]}): run 'tools/setup.sh packages' once as root, then this command again."
    trap lower_guard EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    raise_guard
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1
    apt_install "${missing[@]}"
    lower_guard
    trap - EXIT INT TERM HUP
}

# Names the interpreter, the lock, the project's own metadata and the place of the tree.
wanted_stamp() { { "$PYTHON" -V && sha256sum requirements.lock pyproject.toml && pwd; } | sha256sum; }

# A copied or moved tree brings programs along that run another tree's code: their first line names its place.
venv_is_ours() {
    [ "$(sed -n 's/^home = //p' "$VENV/pyvenv.cfg" 2>/dev/null)" = "$(dirname "$PYTHON")" ] &&
        grep -qsF "$PWD/$VENV/bin/" "$VENV/bin/pip" &&
        "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1
}

install_python() {
    local stamp
    stamp=$(wanted_stamp)
    if [ "$(cat "$STAMP" 2>/dev/null)" = "$stamp" ]; then return 0; fi
    if ! venv_is_ours; then
        say "making $VENV with $PYTHON, the interpreter that Kamailio embeds"
        "$PYTHON" -m venv --clear "$VENV"
    fi
    say "installing the Python packages of requirements.lock into $VENV, each checked by its hash"
    local -a pip_install=("$VENV/bin/python" -m pip --disable-pip-version-check --quiet install)
    "${pip_install[@]}" --require-hashes --requirement requirements.lock
    "${pip_install[@]}" --no-deps --no-build-isolation --editable .
    printf '%s\n' "$stamp" >"$STAMP"
}

exec 9<. && flock 9 # two `make`s at once take turns
if [ "$(id -u)" -eq 0 ] && grep -qsF "$GUARD_MARK" "$GUARD"; then lower_guard; fi # a run that was killed left it
install_packages
if [ "${1:-}" != packages ]; then install_python; fi
