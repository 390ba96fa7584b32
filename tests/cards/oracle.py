"""What a payload is by the rules of docs/cards.md: patterns over the whole of it, unlike the firmware's parsers."""

from __future__ import annotations

import binascii
import re

from host_tools.formats.records import pack_digest, pack_id

_QRQG = re.compile(rb"[^|]*\|[^|]*\|[^|]{4}-[^|]{2}-[^|]{2}\|[01]\|([0-9]{8,24})\|[^|]*")
_DATE = rb"(?:[0-9]{4}|[0-9]{6}|[0-9]{8})"
_CCCD = re.compile(rb"([0-9]{12})\|[^|]*\|(?:" + _DATE + rb"\|[^|]*|[^|]*\|" + _DATE + rb")(?:\|[^|]*){2,}")
_BHYT = re.compile(
    rb"([0-9]{10}|[A-Za-z]{2}[0-9]{13})\|[^|]*\|/*[0-9][0-9/]*\|[12]\|(?:[^|]*\|){5,20}\$[\0\r\n ]*"
)
_NUMBERED = ((1, _QRQG), (2, _CCCD), (3, _BHYT))
_LONGEST_NUMBERED = 998
_PASSES = (
    (4, re.compile(rb"HC1:[0-9A-Z $%*+\-./:]+")),
    (5, re.compile(rb"shc:/[0-9]+")),
    (6, re.compile(rb"NZCP:/1/[0-9A-Z $%*+\-./:]+")),
    (7, re.compile(rb'\{"data":\{"hdr":\{(?=[^\x04]*"t":"icao\.)[^\x04]*')),
    (8, re.compile(rb"PK\x03\x04(?=.*PK\x05\x06).*", re.DOTALL)),
)
_SHORTEST_PASS = 100
_LINK = re.compile(
    rb"\s*(?:www\.|qr\.tokhaiyte\.vn|qr\.pccovid\.gov\.vn|nzcovidtracer:|ukc19tracing:|hken:)|.*://", re.DOTALL | re.I
)


def identify(payload: bytes) -> tuple[int, bytes]:
    """(scheme, packed id) of a payload, for a door that knows every scheme."""
    if re.fullmatch(rb"000201.*6304[0-9A-Fa-f]{4}", payload, re.DOTALL) and (
        binascii.crc_hqx(payload[:-4], 0xFFFF) == int(payload[-4:], 16)
    ):
        return 9, b"\0"
    if len(payload) <= _LONGEST_NUMBERED and 4 not in payload:
        for scheme, pattern in _NUMBERED:
            if found := pattern.fullmatch(payload):
                return scheme, pack_id(found[1].decode("ascii").upper())
    if len(payload) >= _SHORTEST_PASS:
        for scheme, pattern in _PASSES:
            if pattern.fullmatch(payload):
                return scheme, pack_digest(payload)
    if _LINK.match(payload[:24]):
        return 10, b"\0"
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return 0, pack_digest(payload)
    return 0, b"\0" + payload if len(payload) <= 64 else pack_digest(payload)
