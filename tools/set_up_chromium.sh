#!/usr/bin/env bash
# Finds the Chromium that the tests of pages drive, and installs Debian's where there is none and we may.
#
#     tools/set_up_chromium.sh           what `make test` does: says what is missing, and never stops the other tests
#     tools/set_up_chromium.sh --find    prints its path; fails, saying what to do, when there is none
#
# CHROMIUM names one; without it the first of the usual names on PATH is taken.
set -euo pipefail

remedy="install one (on Debian and Ubuntu, as root: apt-get install chromium), or name one: CHROMIUM=/path/to/chromium"

find_chromium() {
    local name
    if [ -n "${CHROMIUM:-}" ]; then
        if ! command -v -- "$CHROMIUM"; then
            echo "CHROMIUM=$CHROMIUM is no program; $remedy" >&2
            return 1
        fi
        return
    fi
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name"; then
            return
        fi
    done
    echo "no Chromium was found, which the tests of pages need: $remedy" >&2
    return 1
}

if [ "${1:-}" = --find ]; then
    find_chromium
    exit
fi
if find_chromium >/dev/null 2>&1; then
    exit 0
fi
if [ -z "${CHROMIUM:-}" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "set-up: installing Debian's chromium for the tests of pages"
    export DEBIAN_FRONTEND=noninteractive
    # An older list of packages names versions that are no longer there: try with it, then with a fresh one.
    if apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; then
        find_chromium >/dev/null
        exit
    fi
    echo "set-up: apt-get could not install chromium; its reason is above. The tests of pages will fail." >&2
    exit 0
fi
if ! find_chromium >/dev/null; then
    echo "set-up: the tests of pages will fail without it; the others run." >&2
fi
