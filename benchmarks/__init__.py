"""Measures that the documentation quotes: one command each, a table, one JSON line last."""
