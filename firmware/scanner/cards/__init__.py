"""What a payload is: a card of a known scheme and its id, something that is never a card, or some other text.

One scheme a file: `parse(payload, fields)` gives (scheme, packed id), or None where it is none of its own; an id of None
stands for the digest of the payload. `fields` is the payload split at `|`. Only the id leaves a parser (docs/cards.md).
"""

import hashlib

import records
from micropython import const

OTHER = const(0)
PAYMENT = const(9)
LINK = const(10)
LONGEST_CARD_BYTES = const(999)
_MOST_FIELDS = const(24)  # no card has more than 17

# Place codes of posters, and links that come without `https://`.
_LINK_STARTS = (b"www.", b"qr.tokhaiyte.vn", b"qr.pccovid.gov.vn", b"nzcovidtracer:", b"ukc19tracing:", b"hken:")
_LINK_HEAD_BYTES = const(24)


def _is_payment(payload):
    """EMVCo merchant QR (VietQR): first field, last field, and the CRC-16/CCITT-FALSE of all before its four digits."""
    if bytes(payload[:6]) != b"000201" or bytes(payload[-8:-4]) != b"6304":
        return False
    crc = 0xFFFF
    for i in range(len(payload) - 4):
        byte = crc >> 8 ^ payload[i]
        byte ^= byte >> 4
        crc = (crc << 8 ^ byte << 12 ^ byte << 5 ^ byte) & 0xFFFF
    return b"%04X" % crc == bytes(payload[-4:]).upper()


def _is_link(payload):
    head = bytes(payload[:_LINK_HEAD_BYTES]).strip().lower()
    for start in _LINK_STARTS:
        if head.startswith(start):
            return True
    return b"://" in head


def _is_utf8(data):
    """Strict UTF-8: no overlong form, no surrogate, nothing beyond U+10FFFF (the runtime's own check is laxer)."""
    i = 0
    n = len(data)
    while i < n:
        lead = data[i]
        i += 1
        if lead < 0x80:
            continue
        if 0xC2 <= lead < 0xE0:
            more, low, high = 1, 0x80, 0xC0
        elif 0xE0 <= lead < 0xF0:
            more, low, high = 2, 0xA0 if lead == 0xE0 else 0x80, 0xA0 if lead == 0xED else 0xC0
        elif 0xF0 <= lead < 0xF5:
            more, low, high = 3, 0x90 if lead == 0xF0 else 0x80, 0x90 if lead == 0xF4 else 0xC0
        else:
            return False
        if i + more > n or not low <= data[i] < high:
            return False
        for k in range(i + 1, i + more):
            if data[k] & 0xC0 != 0x80:
                return False
        i += more
    return True


class Cards:
    """The schemes that config asks for, tried in order. `names`: modules of this package, such as ("qrqg", "cccd")."""

    def __init__(self, names):
        self._schemes = []
        for name in names:
            self._schemes.append(__import__("scanner.cards." + name, None, None, (name,)))

    def identify(self, payload):
        """(scheme, packed id) of a payload: bytes, from LONGEST_CARD_BYTES on a memoryview will do. Never raises on what it is
        given; PAYMENT and LINK are never a card."""
        if _is_payment(payload):
            return PAYMENT, records.NO_ID
        # No card in fields is so long, and none holds the byte that begins a module's frame: that is two frames run into one.
        split = len(payload) < LONGEST_CARD_BYTES and b"\4" not in payload
        fields = payload.split(b"|", _MOST_FIELDS) if split else ()
        for scheme in self._schemes:
            found = scheme.parse(payload, fields)
            if found:
                break
        else:
            if _is_link(payload):
                return LINK, records.NO_ID
            found = OTHER, None
            if len(payload) <= records.ID_TEXT_BYTES and _is_utf8(payload):
                found = OTHER, records.id_text(payload)
        return found[0], found[1] or records.id_digest(hashlib.sha256(payload).digest())
