"""What a payload is: a card of a known scheme and its id, something that is never a card, or some other text.

One scheme a file: `SCHEME` and `parse(payload)`, which gives the packed id or None. Only the id leaves a parser.
"""

import hashlib

import records
from micropython import const

_OTHER = const(0)
PAYMENT = const(9)
LINK = const(10)
_LONGEST_CARD_BYTES = const(999)

_PAYMENT_START = b"000201"  # EMVCo merchant QR: payload format indicator, always first
_LINK_STARTS = (b"http://", b"https://", b"www.", b"nzcovidtracer:", b"ukc19tracing:", b"hken:")


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
        """(scheme, packed id) of a payload (bytes). Never raises; PAYMENT and LINK are never a card."""
        if payload.startswith(_PAYMENT_START) and payload[-8:-4] == b"6304":
            return PAYMENT, records.NO_ID
        # No card is so long, and none holds the byte that begins a module's frame: that is two frames run into one.
        for scheme in self._schemes if len(payload) < _LONGEST_CARD_BYTES and b"\4" not in payload else ():
            packed = scheme.parse(payload)
            if packed:
                return scheme.SCHEME, packed
        head = payload[:16].lower()
        for start in _LINK_STARTS:
            if head.startswith(start):
                return LINK, records.NO_ID
        if len(payload) <= records.ID_TEXT_BYTES and _is_utf8(payload):
            return _OTHER, records.id_text(payload)
        return _OTHER, records.id_digest(hashlib.sha256(payload).digest())
