"""Turns firmware/, a board description, a config and an identity into one flash image."""
