"""A second opinion on every number of a report, from its records alone.

Imports nothing of the package: formats are those of docs/results-format.md, definitions of docs/method.md.
`python -m tests.recomputation RESULTS [STUDY…]` counts, table by table, the cells that agree, those that do
not, and those about which nothing here can say anything.
"""
