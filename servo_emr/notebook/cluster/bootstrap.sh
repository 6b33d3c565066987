#!/usr/bin/env bash
# EMR bootstrap action: what the steps' runners need, on the primary node, without sudo.
#
#   bootstrap.sh RUN_PREFIX [WHEELS|- [commands]]
#
# RUN_PREFIX  s3:// URI of the run's folder, which holds constraints.txt and the runner's files.
# WHEELS      s3:// URI of a prefix with wheels; without it, or for -, the configured package registry is asked.
# commands    no step is a notebook: the S3 client is all that is installed.
#
# Core and task nodes keep EMR's own python3: spark's executors need nothing of this, and every second here is billed.
set -euo pipefail

fail() {
  echo "bootstrap: $*" >&2
  exit 1
}

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  fail "usage: bootstrap.sh RUN_PREFIX [WHEELS|- [commands]]"
fi
run_prefix=${1%/}
wheels=${2:-}
if [ "$wheels" = - ]; then
  wheels=
fi
packages=(papermill boto3 ipykernel numpy)
if [ "${3:-}" = commands ]; then
  packages=(boto3)
fi
home=/home/hadoop/servo-emr
node_file=/mnt/var/lib/info/instance.json

if [ -e "$node_file" ] && grep -Eq '"isMaster"[[:space:]]*:[[:space:]]*false' "$node_file"; then
  echo "bootstrap: not the primary node, nothing to do"
  exit 0
fi

command -v python3 >/dev/null || fail "there is no python3 on this node"
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# System packages stay visible: what the release label brings (pandas, boto3, ...) is there for the notebook as well.
python3 -m venv --system-site-packages "$home" || fail "python3 -m venv cannot make $home"
files=(constraints.txt run_notebook.py run_command.py servo_emr_job.py servo_emr_child.py servo_emr_outputs.py
  servo_emr_processes.py)
wanted=()
for name in "${files[@]}"; do
  wanted+=(--include "$name")
  rm -f "$home/$name"
done
# One process for all of them: each takes the AWS CLI a second to start.
aws s3 cp --only-show-errors --recursive "$run_prefix/" "$home/" --exclude '*' "${wanted[@]}" \
  || fail "cannot copy from $run_prefix/: may the instance profile read and list the workspace?"
for name in "${files[@]}"; do
  [ -e "$home/$name" ] || fail "there is no $run_prefix/$name"
done
grep -Fq "python_version == \"$python\"" "$home/constraints.txt" \
  || fail "no packages are pinned for this node's Python $python: choose a release label with another Python"

source=(--retries 2)
if [ -n "$wheels" ]; then
  aws s3 cp --only-show-errors --recursive "${wheels%/}/" "$home/wheels/" \
    || fail "cannot copy $wheels: may the instance profile read it?"
  source=(--no-index --find-links "$home/wheels")
fi
# Wheels only: the node has no compiler, and an hour of trying is billed too.
"$home/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --only-binary :all: \
  --constraint "$home/constraints.txt" "${source[@]}" "${packages[@]}" \
  || fail "pip cannot install ${packages[*]} for Python $python (from ${wheels:-the registry})"

"$home/bin/python" -c 'import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]' \
  "${packages[@]}" || fail "what was installed cannot be imported"
echo "bootstrap: $home is ready, with Python $python"
