"""How a run looks while it runs: a board, a screen made of it, a terminal that shows it."""
