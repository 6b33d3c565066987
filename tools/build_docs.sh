#!/usr/bin/env bash
# Makes the site of docs/ with Sphinx, strictly: a warning fails it. What it is made with is installed into
# build/docs-environment first, when that is missing or docs/constraints.txt has changed.
#
# The first argument names the folder of the site; without it, build/docs. Needs .venv, whose pip does the installing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
site=${1:-$root/build/docs}
environment=$root/build/docs-environment
stamp=$environment/servo-emr.stamp
python=$root/.venv/bin/python

wanted() { printf 'at %s\nwith %s\n' "$environment" "$("$python" --version)"; cat "$root/docs/constraints.txt"; }

if [ ! -f "$stamp" ] || [ "$(wanted)" != "$(cat "$stamp")" ]; then
    echo "docs: installing Sphinx into $environment"
    rm -rf "$environment"
    "$python" -m venv --without-pip "$environment"
    (cd "$root" && "$python" -m pip --python "$environment/bin/python" install --quiet --no-input --progress-bar off \
        --disable-pip-version-check --constraint docs/constraints.txt --group docs)
    wanted >"$stamp"
fi
"$environment/bin/python" -m sphinx --builder html --fail-on-warning --keep-going --nitpicky --fresh-env --quiet \
    --doctree-dir "$root/build/docs-doctrees" "$root/docs" "$site"
echo "docs: $site/index.html"
