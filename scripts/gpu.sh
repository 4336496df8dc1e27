#!/bin/sh
# Proves and times bench on a GPU: eight minutes at most, six planned. Every step is a process of its own under a
# time limit, appends JSON lines to $OUT/results.jsonl, and stops no other.
#
#     scripts/gpu.sh                         all steps; --only STEP, again and again, for some of them
#     scripts/gpu.sh --wheels DIR            a bare machine with Python, torch and timm: the rest from wheels (docs/gpu.md)
#     scripts/gpu.sh --cells SOURCE          images for the study, such as folder:/data/cells; else drawn ones
#     scripts/gpu.sh --rehearse              every step in tiny form on a CPU; fails if one cannot run
#
# OUT (default gpu-results) and PYTHON (default .venv/bin/python, else python3) come from the environment. Ends with 1 when a step failed.
set -u
cd "$(dirname "$0")/.." || exit 2
[ -x .venv/bin/python ] && [ -z "${PYTHON:-}" ] && PYTHON="$PWD/.venv/bin/python"
PYTHON="${PYTHON:-python3}" OUT="${OUT:-gpu-results}" WHEELS="" CELLS="synthetic" REHEARSE="" ONLY=""
while [ $# -gt 0 ]; do
    case "$1" in
    --rehearse) REHEARSE=1 ;;
    --wheels) WHEELS="${2:?--wheels needs a folder}" && shift ;;
    --cells) CELLS="${2:?--cells needs a source}" && shift ;;
    --only) ONLY="$ONLY ${2:?--only needs a step} " && shift ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
mkdir -p "$OUT" && OUT="$(cd "$OUT" && pwd)" || exit 2
WORK="$(mktemp -d)" && trap 'rm -rf "$WORK"' EXIT
RESULTS="$OUT/results.jsonl" LOG="$OUT/log.txt" BEGUN="$(date +%s)" MOST=480 FAILED=""
: >"$RESULTS" && : >"$LOG"

PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -n "$WHEELS" ]; then # a wheel is a zip file; an unpacked one needs no pip
    for wheel in "$WHEELS"/*.whl; do "$PYTHON" -m zipfile -e "$wheel" "$WORK/site" || exit 2; done
    PYTHONPATH="$PYTHONPATH:$WORK/site"
fi
# Nothing of this machine's settings, nothing left behind in its cache. Without bytecode every step compiles torch anew.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPATH BENCH_CACHE="$WORK/cache" CUBLAS_WORKSPACE_CONFIG=:4096:8

step() { # NAME SECONDS COMMAND...: within its seconds, and what is left of all
    name="$1" most="$2" && shift 2
    case "${ONLY:- $name }" in *" $name "*) ;; *) return ;; esac
    begun="$(date +%s)" && left=$((MOST - begun + BEGUN))
    [ "$left" -lt "$most" ] && most="$left"
    code=124
    if [ "$most" -gt 0 ]; then
        printf '\n== %s\n' "$name" >>"$LOG"
        timeout -k 5 "$most" "$@" >>"$LOG" 2>&1
        code=$?
    fi
    took=$(($(date +%s) - begun))
    printf '{"step": "%s", "exit": %d, "seconds": %d}\n' "$name" "$code" "$took" >>"$RESULTS"
    if [ "$code" -eq 0 ]; then echo "$name: $took s" && return; fi
    FAILED="$FAILED $name"
    echo "$name: failed with $code after $took s" && tail -n 8 "$LOG"
}
ours() { # NAME SECONDS [STEP...]: steps of gpu_steps.py
    name="$1" most="$2" && shift 2
    [ $# -gt 0 ] || set -- "$name"
    step "$name" "$most" "$PYTHON" scripts/gpu_steps.py "$@" \
        --results "$RESULTS" --work "$WORK" --cells "$CELLS" $TINY
}

if [ -n "$REHEARSE" ]; then # one process: each would import torch anew, for most of its time
    TINY="--tiny" CUDA_VISIBLE_DEVICES="" && export CUDA_VISIBLE_DEVICES
    ours rehearsal "$MOST" all # takes a minute, on a busy machine longer: no figure of it means anything
else # seconds of each; planned are two thirds of them
    TINY=""
    ours device 20
    ours smoke 60
    ours tests 60
    ours table 80
    ours plain 70
    ours study 130
    ours concurrency 110
    ours identity 60
    ours bars 150 # by value, as far as time is left
fi
"$PYTHON" scripts/gpu_table.py "$RESULTS" --print
echo "$(($(date +%s) - BEGUN)) s in all; $RESULTS"
[ -z "$FAILED" ] || { echo "failed:$FAILED; see $LOG" && exit 1; }
