"""Measures what a board would feel, in figures that are the same on every machine (`python -m host_tools.bench`)."""
