"""Records → numbers: effects, intervals, verdicts, and every table of a report, once. Knows no format."""
