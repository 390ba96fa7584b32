"""Starts the app; MicroPython runs this file after every boot."""
import app
app.main()
