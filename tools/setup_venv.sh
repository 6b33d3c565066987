#!/usr/bin/env bash
# Makes .venv in the project's root, or brings it up to date, and does nothing when it already is.
#
# The stamp is written last and says what was installed, from what, and where; so an interrupted set-up, a moved clone,
# a vanished interpreter or a changed pyproject.toml are all seen at the next call. An interrupted set-up is thrown
# away, not continued: pip takes a half-unpacked package for an installed one.
#
# PYTHON names the interpreter; without it the first of python3.11, python3.12 and python3 that fits is taken. An
# environment made with another version than PYTHON's is made again.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/servo-emr.stamp
extras=dev,demo

say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

fits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or 3.12 with its venv module; servox runs on no other."
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3; do
        if fits "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or 3.12 with its venv module was found (servox runs on no other);" \
        "install one (on Debian and Ubuntu: python3.11 and python3.11-venv), or say make PYTHON=/path/to/python3.11"
}

# What the finished environment is a function of. The path is part of it: scripts in an environment name it.
wanted() {
    printf 'at %s\nwith %s\n' "$venv" "$extras"
    cksum <"$root/pyproject.toml"
    cksum <"$root/constraints.txt"
}

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# Whether .venv was finished, here, runs, and is of the version asked for.
sound() {
    [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "at $venv" ] || return 1
    [ -f "$venv/pyvenv.cfg" ] && fits "$venv/bin/python" || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version "$venv/bin/python")" ]
}

# pip's own output is a few hundred lines; this keeps the large downloads and a count, and leaves standard error alone.
progress() {
    awk '
        /^Collecting / { if (++seen % 25 == 0) { printf "set-up: %d packages found\n", seen; fflush() } }
        /^Installing collected packages/ { print "set-up: unpacking them"; fflush() }
        /Downloading .*\([0-9.]+ MB\)/ { size = $NF == "MB)" ? $(NF - 1) : ""; gsub(/[()]/, "", size)
            if (size + 0 >= 10) { printf "set-up: downloading %s MB: %s\n", size, $2; fflush() } }'
}

# Without --no-compile a minute goes by in which code is compiled that nobody ever imports; Python compiles the rest.
fetch() {
    "$venv/bin/python" -m pip install --no-compile --disable-pip-version-check --no-input --progress-bar off \
        --constraint "$root/constraints.txt" --editable "$root[$extras]" | progress
}

install() {
    local packages started=$SECONDS
    packages=$(awk '/==/ { n++ } END { print n + 0 }' "$root/constraints.txt")
    rm -f "$stamp"
    say "installing servo-emr[$extras] and what it needs, $packages packages pinned in constraints.txt (some minutes, once)"
    # An index that answers badly for a moment looks to pip like packages without versions, and it does not ask again.
    if ! fetch && { say "pip could not install them; trying once more"; ! fetch; }; then
        fail "pip could not install the packages; its reason is above. Once that is settled, the same command starts over."
    fi
    wanted >"$stamp"
    say "done in $((SECONDS - started)) s"
}

if [ -n "${PYTHON:-}" ]; then
    find_python >/dev/null
fi
if sound; then
    if [ "$(wanted)" = "$(cat "$stamp")" ]; then
        exit 0
    fi
    say ".venv is out of date: pyproject.toml or constraints.txt has changed"
else
    python=$(find_python)
    if [ -e "$venv" ]; then
        say ".venv is incomplete, broken, or made elsewhere or with another Python: starting over"
        rm -rf "$venv"
    fi
    say "making .venv with $("$python" --version) ($(command -v "$python"))"
    "$python" -m venv "$venv"
fi
install
