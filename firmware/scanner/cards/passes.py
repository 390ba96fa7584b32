"""Passes from abroad, known by how they begin: EU DCC, SMART Health Card, NZ pass, ICAO VDS-NC, DIVOC; the digest is the id."""

from micropython import const

_SHORTEST_BYTES = const(100)
_VDS_NC = const(7)
_DIVOC = const(8)
_PIECE_BYTES = const(240)
_OVERLAP_BYTES = const(16)  # more than the longest sign that stands somewhere

_BASE45 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
# (what it begins with, scheme, the signs that all the rest is made of). Of the last two: what else stands in it.
_PASSES = (
    (b"HC1:", 4, _BASE45),
    (b"shc:/", 5, b"0123456789"),
    (b"NZCP:/1/", 6, _BASE45),
    (b'{"data":{"hdr":{', _VDS_NC, b'"t":"icao.'),
    (b"PK\3\4", _DIVOC, b"PK\5\6"),
)


def parse(payload, _):
    """Nothing is verified here. A zip archive alone may hold the byte that begins a module's frame.

    It is looked at in overlapping pieces: a pass has up to 3 KB, which are not copied.
    """
    if len(payload) < _SHORTEST_BYTES:
        return None
    for start, scheme, signs in _PASSES:
        if bytes(payload[:len(start)]) == start:
            whole = scheme < _VDS_NC
            for at in range(len(start), len(payload), _PIECE_BYTES):
                piece = bytes(payload[at : at + _PIECE_BYTES + _OVERLAP_BYTES])
                if scheme < _VDS_NC:
                    whole = whole and not piece.strip(signs)
                elif scheme != _DIVOC and b"\4" in piece:
                    return None
                else:
                    whole = whole or signs in piece
            return (scheme, None) if whole else None
    return None
