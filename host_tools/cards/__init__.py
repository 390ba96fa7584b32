"""Synthetic people, the QR payloads they carry, and pictures of their cards as a scan module meets them."""
