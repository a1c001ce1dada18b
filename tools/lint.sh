#!/usr/bin/env bash
# Every check of the tree. All of them run, each failure is shown, the status says whether any failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin" LANG=C.UTF-8
failed=()

check() {
    local name=$1
    shift
    printf -- '--- %s\n' "$name"
    "$@" </dev/null || failed+=("$name")
}

# check_files NAME PATTERN COMMAND…: the command gets all files of the tree that match; matching none is no failure.
check_files() {
    local name=$1 pattern=$2
    shift 2
    local -a files
    mapfile -t files < <(find . \( -name .venv -o -name .compiled -o -name .run -o -name .git \) -prune -o -type f -name "$pattern" -print | sort)
    if [ ${#files[@]} -gt 0 ]; then check "$name" "$@" "${files[@]}"; fi
}

# Kamailio reads the configuration and every module it names; nothing is started, no socket is opened.
kamailio_config() { # file, more switches
    local home status=0
    home=$(mktemp -d)
    kamailio -c -f "$1" -Y "$home" -A LISTEN_UDP=udp:127.0.0.1:5060 -A LISTEN_TCP=tcp:127.0.0.1:5060 \
        -A "CTL=\"unix:$home/ctl.sock\"" "${@:2}" >"$home/log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then grep -E 'ERROR|CRITICAL' "$home/log" || cat "$home/log"; fi
    rm -rf "$home"
    return "$status"
}

check "ruff format" ruff format --check --quiet .
check "ruff check" ruff check --quiet .
check "mypy" mypy --no-error-summary
check "import direction" lint-imports --no-cache
check_files "luacheck" '*.lua' luacheck --quiet --no-color
check_files "xmllint" '*.xml' xmllint --noout --nonet
check_files "shellcheck" '*.sh' shellcheck .ci/run
check "kamailio -c" kamailio_config kamailio.cfg
check "kamailio -c, with a relay" kamailio_config kamailio.cfg -A 'RTPENGINE="udp:127.0.0.1:2223"'
check "kamailio -c, with figures for Prometheus" kamailio_config kamailio.cfg -A METRICS=9494
for file in tools/bench/calls/*.cfg; do # what their placeholders say is nowhere
    check "kamailio -c $file" kamailio_config "$file" -A NEXT_HOP='"sip:127.0.0.1"' -A PASSWORD='"none"' \
        -A DATABASE='"postgres://none@/none"' -A SQLCON='"cb=>postgres://none@/none"' \
        -A REDIS='"name=redis;unix=/nowhere;db=0"' -A ROUTER='"router.lua"'
done

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
    exit 1
fi
echo "lint: all checks passed"
