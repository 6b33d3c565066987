#!/usr/bin/env bash
# Installs servo-emr from its wheel into a virtual environment of its own: what the image does and what a test does.
#
#     tools/install.sh ENVIRONMENT WHEEL CONSTRAINTS [EXTRAS]
#
# EXTRAS are names with commas between them (optimizer,report); none is what a servo needs. PYTHON names the interpreter
# (default: python3). When it has ended, any user may run `servo` from ENVIRONMENT, and nobody needs to write to it:
# servox opens <site-packages>/logs/servo.log when it is imported, fails where it cannot, and never rotates it. What it
# would write there goes to standard error too, so that file is a link to /dev/null.
set -euo pipefail
umask 022

if [ "$#" -lt 3 ] || [ "$#" -gt 4 ]; then
    echo "usage: tools/install.sh ENVIRONMENT WHEEL CONSTRAINTS [EXTRAS]" >&2
    exit 2
fi
environment=$1 wheel=$2 constraints=$3 extras=${4:-}
for file in "$wheel" "$constraints"; do
    if [ ! -f "$file" ]; then
        echo "tools/install.sh: no such file: $file" >&2
        exit 2
    fi
done

"${PYTHON:-python3}" -m venv "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check --no-input)
"${pip[@]}" install --quiet --constraint "$constraints" "$wheel${extras:+[$extras]}"
"${pip[@]}" check

logs=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/logs
mkdir -p "$logs"
ln -sfn /dev/null "$logs/servo.log"
