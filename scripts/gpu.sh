#!/bin/sh
# What only a machine with a GPU can show: the tests marked `gpu`, then the bars. Arguments go to gpu_bars.py.
#     scripts/gpu.sh                    or    PYTHON=python3 scripts/gpu.sh --images 4096
set -e
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-uv run python}"
$PYTHON -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "no CUDA device: nothing was tested")'
$PYTHON -m pytest -m gpu -p no:cacheprovider
$PYTHON scripts/gpu_bars.py "$@"
