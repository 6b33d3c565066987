#!/usr/bin/env bash
# Installs servo-emr from its wheel into a virtual environment of its own: what the image does and what a test does.
#
#     tools/install.sh ENVIRONMENT WHEEL CONSTRAINTS
#
# PYTHON names the interpreter (default: python3). When it has ended, any user may run `servo` from ENVIRONMENT while the
# rest of ENVIRONMENT stays read-only for them: servox opens <site-packages>/logs/servo.log when it is imported and fails
# where it cannot, so that one folder is open to all, with the sticky bit, and holds no file of the installing user.
set -euo pipefail
umask 022

if [ "$#" -ne 3 ]; then
    echo "usage: tools/install.sh ENVIRONMENT WHEEL CONSTRAINTS" >&2
    exit 2
fi
environment=$1 wheel=$2 constraints=$3
for file in "$wheel" "$constraints"; do
    if [ ! -f "$file" ]; then
        echo "tools/install.sh: no such file: $file" >&2
        exit 2
    fi
done

"${PYTHON:-python3}" -m venv "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check --no-input)
"${pip[@]}" install --quiet --constraint "$constraints" "$wheel"
"${pip[@]}" check

logs=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/logs
mkdir -p "$logs"
rm -f "$logs/servo.log"
chmod 1777 "$logs"
