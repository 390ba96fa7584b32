"""Newland NLS scan modules (EM20, EM2039, EM3096, FM430) as a profile of the line driver (hardware.md 1.5)."""

from drivers.line import Line

_SETTINGS = (
    b"NLS0006010;",  # programming opens
    b"NLS0302000;",  # reads when started
    b"NLS0313000=6000;",  # for 6 s; it is started again well before that
    b"NLS0313010=3000;",  # the same code again only after 3 s
    b"NLS0006000;",
)
PROFILE = ((9600, 115200), b"?", 0x21, _SETTINGS, b"\x1b1", b"\x1b0", 0x06, b"", 60, 2500)


def make(uart, on_payload, on_fail, settings, trigger, number):
    """The reader, as config's "scanner" asks for it."""
    return Line(uart, on_payload, on_fail, PROFILE, trigger)
