"""A trained network in forms that others can use without ``bench``."""
