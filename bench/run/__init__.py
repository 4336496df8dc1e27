"""A run: what is planned and done, what is checked first, who does it, what comes of it."""
