"""Chốt's tools on the technician's, tester's and officer's computer."""

__version__ = "0.1.0"
