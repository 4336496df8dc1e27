"""A study: one TOML file, read, merged, combined into arms and checked."""
