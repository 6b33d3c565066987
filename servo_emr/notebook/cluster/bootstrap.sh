#!/usr/bin/env bash
# EMR bootstrap action: what the notebook step needs, on the primary node, without sudo.
#
#   bootstrap.sh RUN_PREFIX [WHEELS]
#
# RUN_PREFIX  s3:// URI of the run's folder, which holds constraints.txt and the runner's files.
# WHEELS      s3:// URI of a prefix with wheels; without it the configured package registry is asked.
#
# Core and task nodes keep EMR's own python3: spark's executors need nothing of this, and every second here is billed.
set -euo pipefail

fail() {
  echo "bootstrap: $*" >&2
  exit 1
}

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  fail "usage: bootstrap.sh RUN_PREFIX [WHEELS]"
fi
run_prefix=${1%/}
wheels=${2:-}
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
for name in constraints.txt run_notebook.py servo_emr_child.py servo_emr_outputs.py servo_emr_processes.py; do
  aws s3 cp --only-show-errors "$run_prefix/$name" "$home/$name" \
    || fail "cannot copy $run_prefix/$name: may the instance profile read the workspace?"
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
  --constraint "$home/constraints.txt" "${source[@]}" papermill boto3 ipykernel numpy \
  || fail "pip cannot install papermill, boto3, ipykernel and numpy for Python $python (from ${wheels:-the registry})"

"$home/bin/python" -c 'import boto3, ipykernel, numpy, papermill' || fail "what was installed cannot be imported"
echo "bootstrap: $home is ready, with Python $python"
