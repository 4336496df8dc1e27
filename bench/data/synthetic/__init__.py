"""The built-in source: drawn cells of eight kinds, with knobs that shift their look."""
