"""Keys on the collector's side: X25519, the keys of an epoch, and the key that proves which board sent a request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
EPOCH_INFO = b"chot/1/epoch"
REQUEST_INFO = b"chot/1/request"
# Epochs remembered by a KeyRing. A board makes one a boot or a day, so only a stranger's garbage ever fills it.
REMEMBERED_EPOCHS = 4096


class RefusedKey(ValueError):
    """A public key that gives an all-zero shared secret: anybody could compute the keys that follow from it."""


@dataclass(frozen=True)
class EpochKeys:
    """What opens the records of one epoch and signs replies to it. The secrets stay out of `repr`."""

    epoch_public: bytes
    enc_key: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)
    reply_key: bytes = field(repr=False)


KeysFor = Callable[[bytes], Sequence[EpochKeys]]


def collector_public(private: bytes) -> bytes:
    """The 32-byte X25519 public key of a 32-byte private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def collector_key_id(public: bytes) -> bytes:
    """The 4 bytes by which a request names the collector key it was made for."""
    return hashlib.sha256(public).digest()[:4]


def shared_secret(private: bytes, public: bytes) -> bytes:
    """X25519 of the two; raises RefusedKey if the result would be all zero."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise RefusedKey("a public key of low order") from error


def epoch_keys(device_key: bytes, collector_private: bytes, epoch_public: bytes) -> EpochKeys:
    """The keys of an epoch from its public key; raises RefusedKey for a public key that must not be used."""
    shared = shared_secret(collector_private, epoch_public)
    info = EPOCH_INFO + epoch_public + collector_public(collector_private)
    okm = HKDF(algorithm=SHA256(), length=80, salt=device_key, info=info).derive(shared)
    return EpochKeys(epoch_public, okm[:16], okm[16:48], okm[48:80])


def request_key(device_key: bytes) -> bytes:
    """The key of the MAC on a board's requests."""
    return HKDF(algorithm=SHA256(), length=32, salt=b"", info=REQUEST_INFO).derive(device_key)


class KeyRing:
    """All keys that may open one board's epochs: calling it with an epoch's public key gives one EpochKeys for each
    collector private key, none if the key is refused. Remembers what it computed."""

    def __init__(self, device_key: bytes, collector_privates: Sequence[bytes]) -> None:
        self._device_key = device_key
        self._privates = tuple(collector_privates)
        self._known: dict[bytes, tuple[EpochKeys, ...]] = {}

    def __call__(self, epoch_public: bytes) -> Sequence[EpochKeys]:
        known = self._known.get(epoch_public)
        if known is None:
            try:
                known = tuple(epoch_keys(self._device_key, private, epoch_public) for private in self._privates)
            except RefusedKey:
                known = ()
            if len(self._known) >= REMEMBERED_EPOCHS:
                self._known.clear()
            self._known[epoch_public] = known
        return known
