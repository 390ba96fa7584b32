"""Who a board is (formats.md, Identity): the JSON file a technician keeps, and the flash partition made from it."""

from __future__ import annotations

import base64
import ipaddress
import json
import stat
import struct
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from host_tools.errors import UserError
from host_tools.text import say

MAGIC = b"CHI1"
SECTOR_BYTES = 4096
PARTITION_BYTES = 2 * SECTOR_BYTES

_HEADER = struct.Struct("<4sIH")  # magic, counter, length of the JSON
_CRC = struct.Struct("<I")
_HEX_MEMBERS = {"device_id": 8, "device_key": 32, "collector_public": 32, "list_key": 32}
_MEMBERS = (*_HEX_MEMBERS, "collector_url", "last_command", "collector_ca")
_OPTIONAL = ("last_command", "collector_ca")
# What a sector takes beside the other members.
CA_MAX_BYTES = 2400
_LAST_COMMAND_LIMIT = 1 << 63
_URL_MAX_CHARS = 200


@dataclass(frozen=True)
class Identity:
    """One board's identity: `device_id` 8 bytes, keys 32 bytes each, the collector's address, the last command's id, and
    whom to believe that it is the collector: `collector_ca`, DER certificates one behind the other, needed for https."""

    device_id: bytes
    device_key: bytes
    collector_public: bytes
    collector_url: str
    list_key: bytes
    last_command: int = 0
    collector_ca: bytes = b""

    def __repr__(self) -> str:
        """Never shows a key: what is printed ends up in logs."""
        return f"Identity(device_id={self.device_id.hex()}, collector_url={self.collector_url!r})"


def to_json(identity: Identity) -> dict[str, Any]:
    """The members as they stand in the partition and in the identity file; UserError if one is not what it must be."""
    members: dict[str, Any] = {
        "device_id": identity.device_id.hex(),
        "device_key": identity.device_key.hex(),
        "collector_public": identity.collector_public.hex(),
        "collector_url": identity.collector_url,
        "list_key": identity.list_key.hex(),
        "last_command": identity.last_command,
    }
    if identity.collector_ca:
        members["collector_ca"] = base64.b64encode(identity.collector_ca).decode()
    from_json(members)
    return members


def from_json(members: Any) -> Identity:
    """The identity of a decoded JSON object; UserError names the first member that is wrong, never its value."""
    if not isinstance(members, dict):
        raise _bad("không phải đối tượng JSON", "not a JSON object")
    for name in members:
        if name not in _MEMBERS:
            raise _bad(f"không biết thành phần {name!r}", f"unknown member {name!r}")
    for name in _MEMBERS:
        if name not in members and name not in _OPTIONAL:
            raise _bad(f"thiếu '{name}'", f"'{name}' is missing")
    values = {name: _hex(name, members[name], size) for name, size in _HEX_MEMBERS.items()}
    last_command = members.get("last_command", 0)
    if isinstance(last_command, bool) or not isinstance(last_command, int):
        raise _bad("'last_command' phải là số nguyên", "'last_command' must be an integer")
    if not 0 <= last_command < _LAST_COMMAND_LIMIT:
        raise _bad("'last_command' ngoài khoảng", "'last_command' is out of range")
    authority = _authority(members.get("collector_ca", ""))
    url = _url(members["collector_url"])
    return Identity(collector_url=url, last_command=last_command, collector_ca=authority, **values)


def needs_plain_http(identity: Identity) -> bool:
    """True where the firmware refuses the collector's address unless config says `plain_http`: what is sent there is sealed,
    but anybody on the way sees who talks with whom, and may keep it from arriving."""
    parts = urlsplit(identity.collector_url)
    host = parts.hostname or ""
    try:
        here = ipaddress.IPv4Address(host).is_loopback
    except ValueError:  # a name: whoever answers for it may be anybody
        here = False
    return parts.scheme == "http" and not here


def check_transport(identity: Identity, config: Any, bundle: bytes) -> None:
    """UserError when a board with this identity and config, and `bundle` for its ca.der, would send nothing."""
    if needs_plain_http(identity) and not (isinstance(config, dict) and config.get("plain_http") is True):
        raise UserError(
            say("'collector_url' là http không mã hoá", "'collector_url' is plain http"),
            hint=say(
                'dùng https, hoặc ghi "plain_http": true trong cấu hình',
                'take https, or put "plain_http": true into the config',
            ),
        )
    if identity.collector_url.startswith("https:") and not (identity.collector_ca or bundle):
        raise UserError(
            say("https cần chứng chỉ của nơi cấp", "https takes the certificate of an authority"),
            hint=say("--ca ca.pem, hoặc 'collector_ca' trong tệp danh tính", "--ca ca.pem, or 'collector_ca' in the identity"),
        )


def load_authority(path: Path) -> bytes:
    """The certificates in a file (PEM, or DER one behind the other), as DER one behind the other; UserError names the file
    when they are none, or one has expired."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn của --ca", "check the path given to --ca"),
        ) from None
    try:
        found = x509.load_pem_x509_certificates(data) if b"-----BEGIN" in data else certificates(data)
    except ValueError:
        found = []
    if not found:
        raise UserError(
            say(f"{path}: không có chứng chỉ nào", f"{path}: no certificate in it"),
            hint=say("cần tệp PEM hoặc DER của nơi cấp", "it takes the authority's PEM or DER file"),
        )
    for certificate in found:
        if certificate.not_valid_after_utc < datetime.now(timezone.utc):
            name = certificate.subject.rfc4514_string()
            raise UserError(
                say(f"{path}: chứng chỉ đã hết hạn: {name}", f"{path}: a certificate has expired: {name}"),
                hint=say("lấy bản mới của nơi cấp", "get the authority's new one"),
            )
    return b"".join(certificate.public_bytes(serialization.Encoding.DER) for certificate in found)


def encode_copy(identity: Identity, counter: int) -> bytes:
    """One sector (4096 bytes) that holds the identity under that counter, blank after it."""
    text = json.dumps(to_json(identity), separators=(",", ":")).encode()
    body = _HEADER.pack(MAGIC, counter, len(text)) + text
    return (body + _CRC.pack(crc32(body))).ljust(SECTOR_BYTES, b"\xff")


def encode_partition(identity: Identity) -> bytes:
    """The partition of a new board: the first sector written under counter 1, the second blank."""
    return encode_copy(identity, 1) + b"\xff" * SECTOR_BYTES


def decode_partition(partition: bytes) -> Identity:
    """The identity in force: of the valid copies the one with the higher counter; UserError when none is valid."""
    if len(partition) != PARTITION_BYTES:
        raise _bad(f"phân vùng {len(partition)} byte", f"a partition of {len(partition)} bytes")
    best: tuple[int, bytes] | None = None
    for start in range(0, PARTITION_BYTES, SECTOR_BYTES):
        copy = _open_copy(partition[start : start + SECTOR_BYTES])
        if copy is not None and (best is None or copy[0] > best[0]):
            best = copy
    if best is None:
        raise _bad("không có bản nào nguyên vẹn trong phân vùng", "the partition holds no intact copy")
    return _parse(best[1])


def load_identity(path: Path) -> Identity:
    """The identity in a JSON file; refused with a UserError when others may read the file, for it holds a key."""
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn của --identity", "check the path given to --identity"),
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise UserError(
            say(f"{path}: người khác đọc được khoá trong đó", f"{path}: others may read the key in it"),
            hint=f"chmod 600 {path}",
        )
    return _parse(text)


def _open_copy(sector: bytes) -> tuple[int, bytes] | None:
    """(counter, JSON bytes) of a sector, or None when it is not an intact copy."""
    magic, counter, length = _HEADER.unpack_from(sector)
    end = _HEADER.size + length
    if magic != MAGIC or end + _CRC.size > SECTOR_BYTES:
        return None
    if _CRC.unpack_from(sector, end)[0] != crc32(sector[:end]):
        return None
    return counter, sector[_HEADER.size : end]


def _parse(text: bytes) -> Identity:
    try:
        members = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _bad("không phải JSON", "not JSON") from None
    return from_json(members)


def _hex(name: str, value: Any, size: int) -> bytes:
    digits = size * 2
    wrong = _bad(f"'{name}' phải gồm {digits} chữ số hex", f"'{name}' must be {digits} hex digits")
    if not isinstance(value, str) or len(value) != digits or not value.isascii() or not value.isalnum():
        raise wrong
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        raise wrong from None
    if raw in (bytes(size), b"\xff" * size):
        raise _bad(f"'{name}' trống", f"'{name}' is blank")
    return raw


def _authority(value: Any) -> bytes:
    """DER certificates in base64."""
    wrong = _bad(
        "'collector_ca' phải là chứng chỉ DER viết bằng base64", "'collector_ca' must be DER certificates in base64"
    )
    if not isinstance(value, str):
        raise wrong
    try:
        bundle = base64.b64decode(value, validate=True)
        certificates(bundle)
    except ValueError:
        raise wrong from None
    if len(bundle) > CA_MAX_BYTES:
        raise _bad(
            f"'collector_ca' dài {len(bundle)} byte, nhiều nhất {CA_MAX_BYTES}",
            f"'collector_ca' is {len(bundle)} bytes, at most {CA_MAX_BYTES}",
        )
    return bundle


def certificates(bundle: bytes) -> list[x509.Certificate]:
    """The DER certificates that stand one behind the other; ValueError where one does not parse."""
    found, at = [], 0
    while at < len(bundle):
        size = 4 + int.from_bytes(bundle[at + 2 : at + 4], "big")
        if bundle[at : at + 2] != b"\x30\x82":  # each is between 256 and 65,535 bytes long
            raise ValueError("not DER")
        found.append(x509.load_der_x509_certificate(bundle[at : at + size]))
        at += size
    return found


def _url(value: Any) -> str:
    wrong = _bad(
        "'collector_url' phải như https://máy:cổng", "'collector_url' must look like https://host:port"
    )
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise wrong
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port  # `.port` raises when it is not a number up to 65535
    except ValueError:
        raise wrong from None
    # The firmware speaks HTTP to a name or an IPv4 address: what it cannot reach is refused here, not at the door.
    spoken = value.startswith(("http://", "https://")) and host and ":" not in host and parts.username is None
    # A name as the board's own look-up takes it: labels of 1 to 63 characters, and no dot behind the last.
    spoken = spoken and all(0 < len(label) < 64 for label in (host or "").split("."))
    if not spoken or parts.path or parts.query or parts.fragment or len(value) > _URL_MAX_CHARS:
        raise wrong
    return value


def _bad(vi: str, en: str) -> UserError:
    return UserError(
        say(f"danh tính: {vi}", f"identity: {en}"),
        hint=say(
            "cần device_id, device_key, collector_public, collector_url, list_key (last_command, collector_ca)",
            "it needs device_id, device_key, collector_public, collector_url, list_key (last_command, collector_ca)",
        ),
    )
