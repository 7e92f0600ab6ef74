#!/usr/bin/env bash
# Measure on this machine what nstbench promises for GPUs; docs/speed.md explains the table.
#
#   scripts/gpu_report.sh                                  all cases, at most eight minutes
#   scripts/gpu_report.sh --only optimisation,training     some parts
#   scripts/gpu_report.sh --device cpu --budget 60         small cases without a GPU
#
# It needs no network and no installation, only the packages of constraints.txt. PYTHON names the
# interpreter; without it, that of .venv is used, or python3.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x "$root/.venv/bin/python" ]; then PYTHON=$root/.venv/bin/python; fi
fi
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,driver_version,memory.total,utilization.gpu --format=csv || true
fi
exec "$PYTHON" "$root/scripts/gpu_report.py" "$@"
