"""Enrolment on the wire: a token proves the right to enrol, both ends derive the device key, and no key is ever sent."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from host_tools.errors import UserError
from host_tools.formats.keys import KEY_BYTES, collector_public, shared_secret
from host_tools.text import say

PATH = "/v1/enroll"
CONTENT_TYPE = "application/x-chot-enroll"
VERSION = 1
MAX_REQUEST_BYTES = 2048
TOKEN_SECRET_BYTES = 15
FINGERPRINT_BYTES = 10
_INFO = b"chot/1/enroll"
_TOKEN_HASH = b"chot/1/token"
_HEAD_BYTES = 1 + KEY_BYTES
# One message goes each way under its own key, so the nonce may be fixed.
_NONCE = bytes(12)


class NotForUs(ValueError):
    """An enrolment message that does not open, or is not one."""


@dataclass(frozen=True)
class Token:
    """What a technician is given: a secret, and the fingerprint of the collector's public key that it is for."""

    secret: bytes = field(repr=False)
    fingerprint: bytes

    def __str__(self) -> str:
        """In letters and digits, in groups of five: it is read out and typed."""
        text = base64.b32encode(self.secret + self.fingerprint).decode().lower()
        return "-".join(text[at : at + 5] for at in range(0, len(text), 5))

    @property
    def hash(self) -> bytes:
        """What the collector keeps of it."""
        return hashlib.sha256(_TOKEN_HASH + self.secret).digest()


def new_token(public: bytes) -> Token:
    """A fresh token of the collector with that public key."""
    return Token(os.urandom(TOKEN_SECRET_BYTES), fingerprint(public))


def fingerprint(public: bytes) -> bytes:
    """The part of a public key's SHA-256 that a token carries."""
    return hashlib.sha256(public).digest()[:FINGERPRINT_BYTES]


def parse_token(text: str) -> Token:
    """A token as it was typed; UserError when it is none."""
    try:
        raw = base64.b32decode("".join(text.split()).replace("-", "").upper())
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != TOKEN_SECRET_BYTES + FINGERPRINT_BYTES:
        raise UserError(
            say("mã ghi danh không đúng: 40 chữ và số", "that is no token: it has 40 letters and digits"),
            hint=say("'chot collector token' tạo mã", "'chot collector token' makes one"),
        )
    return Token(raw[:TOKEN_SECRET_BYTES], raw[TOKEN_SECRET_BYTES:])


@dataclass(frozen=True)
class Session:
    """The keys of one enrolment, the same at both ends."""

    request_key: bytes = field(repr=False)
    reply_key: bytes = field(repr=False)
    device_key: bytes = field(repr=False)


def _session(shared: bytes, ephemeral_public: bytes, public: bytes) -> Session:
    okm = HKDF(algorithm=SHA256(), length=96, salt=None, info=_INFO + ephemeral_public + public).derive(shared)
    return Session(okm[:32], okm[32:64], okm[64:])


def build_request(public: bytes, token: Token, members: dict[str, Any]) -> tuple[bytes, Session]:
    """(body, keys): `members` and the token, sealed for the holder of the private key to `public`."""
    ephemeral = os.urandom(KEY_BYTES)
    mine = collector_public(ephemeral)
    session = _session(shared_secret(ephemeral, public), mine, public)
    inside = json.dumps({**members, "token": token.secret.hex()}).encode()
    head = bytes((VERSION,)) + mine
    return head + AESGCM(session.request_key).encrypt(_NONCE, inside, head), session


def open_request(body: bytes, private: bytes) -> tuple[dict[str, Any], Session]:
    """(members, keys) of a request; raises NotForUs, or RefusedKey for a key that anybody could agree with."""
    if not _HEAD_BYTES < len(body) <= MAX_REQUEST_BYTES or body[0] != VERSION:
        raise NotForUs("not an enrolment")
    head = body[:_HEAD_BYTES]
    session = _session(shared_secret(private, head[1:]), head[1:], collector_public(private))
    return _open(session.request_key, body[_HEAD_BYTES:], head), session


def build_reply(session: Session, members: dict[str, Any]) -> bytes:
    """The answer, which only the asker opens."""
    head = bytes((VERSION,))
    return head + AESGCM(session.reply_key).encrypt(_NONCE, json.dumps(members).encode(), head)


def parse_reply(session: Session, body: bytes) -> dict[str, Any]:
    """The members of an answer; raises NotForUs unless the holder of the private key made it for this request."""
    return _open(session.reply_key, body[1:], body[:1])


def _open(key: bytes, sealed: bytes, head: bytes) -> dict[str, Any]:
    try:
        members = json.loads(AESGCM(key).decrypt(_NONCE, sealed, head))
    except (InvalidTag, ValueError, RecursionError) as error:
        raise NotForUs("it does not open") from error
    if not isinstance(members, dict):
        raise NotForUs("not an object")
    return members
