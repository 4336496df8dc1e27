# What CI runs, by hand: uv run just check

# lint, formatting and types
check:
    uv run ruff check .
    uv run ruff format --check .
    uv run mypy

# every test
test *arguments:
    uv run pytest {{arguments}}

# every study of ablations/ in its smallest form
smoke:
    uv run bench run --smoke ablations/*.toml

# time ratios against PERFORMANCE bars; reported, not gating
benchmarks *arguments:
    uv run pytest tests/benchmarks --benchmark-only --benchmark-disable-gc -o addopts="" {{arguments}}

# kill a study again and again, fill its disk, tear its files: nothing may be lost
chaos kills="20" seed="0":
    uv run python tests/chaos.py {{kills}} {{seed}}

# ten times the fuzzing: odd EXIF blocks, damaged image files, mutated studies; every number of every committed report;
# every write of a tuned study failing once; 200 kills, 30 of runs that share a folder, 20 lost nodes of a Ray cluster; the
# tests for a GPU, on a CPU
deep *arguments:
    DEEP=1 uv run pytest tests/run/test_disk_faults.py tests/data/test_reading.py tests/study/test_fuzz.py tests/test_recomputation.py tests/test_recomputed_studies.py tests/data/test_hidden.py tests/stats/test_simulation.py tests/stats/test_simulation_designs.py tests/stats/test_pooled.py {{arguments}}
    uv run python tests/chaos.py 200 0
    uv run python tests/joined.py 30 0
    uv run --extra ray python tests/lost_nodes.py 20 0
    GPU_TESTS_ON=cpu uv run pytest tests/gpu

# write docs/components.md anew
docs:
    uv run python scripts/write_components.py

# format and mend what can be mended
format:
    uv run ruff check --fix .
    uv run ruff format .

# all of it, as CI does
ci:
    .ci/run

# coverage of intervals, false verdicts and power in simulated studies (docs/method.md)
coverage studies="500":
    uv run python tests/simulation.py --studies {{studies}}
    uv run python tests/simulation_claims.py --studies {{studies}}
    uv run python tests/simulation_shared.py
    uv run python tests/simulation_races.py
    uv run python tests/simulation_hours.py
    uv run python tests/simulation_further.py
    uv run python tests/simulation_designs.py --studies {{studies}}
    uv run python tests/simulation_clinic.py --studies {{studies}}
    uv run python tests/simulation_pooled.py
    uv run python tests/new_runs.py
    uv run python tests/few_errors.py
