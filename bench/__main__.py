"""``python -m bench``: the same as the console script."""

from bench.cli import main

main()
