"""One part of the board a file; each gets its UART or pins from app.py."""
