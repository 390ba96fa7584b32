"""The collector's secrets: its private keys, the key that wraps device keys, and the encrypted copy of both."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from host_tools.collector.trouble import reason
from host_tools.errors import EXIT_ENVIRONMENT, UserError
from host_tools.formats.keys import KEY_BYTES, collector_public
from host_tools.text import say

PRIVATE_NAME = "collector.key"
PUBLIC_NAME = "collector.pub"
DATABASE_NAME = "collector.db"
RECOVERY_NAME = "recovery.json"
MIN_PASSPHRASE_CHARACTERS = 12
MAX_RECOVERY_BYTES = 65_536
NONCE_BYTES = 12
SALT_BYTES = 16
# 128 MB and about half a second for each guess at the passphrase.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 17, 8, 1
_RECOVERY_AAD = b"chot/1/recovery"
_LIST_INFO = b"chot/1/list"
_WRAP_AAD = b"chot/1/device-key"


@dataclass(frozen=True)
class Secrets:
    """Private keys, the one in use first, and the key that wraps device keys."""

    private_keys: tuple[bytes, ...] = field(repr=False)
    wrapping_key: bytes = field(repr=False)


def wrapping_key_path(database: Path) -> Path:
    """Where the wrapping key of a database lies: beside it, never in it."""
    return database.with_name(database.name + ".key")


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that must not exist yet, down to the disk; raises FileExistsError if it does."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _exists(path: Path) -> UserError:
    return UserError(
        say(f"{path} đã có, không ghi đè", f"{path} exists and is not overwritten"),
        hint=say(
            "khoá mất là mất mọi bản ghi chưa mở: chuyển tệp cũ đi trước đã",
            "a lost key loses every record not yet opened: move the old file away first",
        ),
    )


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        say(f"không ghi được {path}: {reason(error)}", f"cannot write {path}: {reason(error)}"),
        hint=say("chọn nơi bạn ghi được", "choose a place that you may write to"),
        exit_code=EXIT_ENVIRONMENT,
    )


def _keys_in(path: Path) -> tuple[bytes, ...]:
    try:
        keys = tuple(bytes.fromhex(line) for line in path.read_text("ascii").split())
    except (OSError, ValueError) as error:
        raise UserError(
            say(f"không đọc được khoá {path}", f"cannot read the key file {path}"),
            hint=say("tạo bằng 'chot collector init DIR'", "'chot collector init DIR' makes one"),
            exit_code=EXIT_ENVIRONMENT,
        ) from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise UserError(
            say(f"{path}: không phải tệp khoá", f"{path}: not a key file"),
            hint=say("lấy lại bằng 'chot collector restore'", "'chot collector restore' brings it back"),
            exit_code=EXIT_ENVIRONMENT,
        )
    return keys


def private_keys(directory: Path) -> tuple[bytes, ...]:
    """The collector's private keys, the one in use first, old ones after it; raises UserError."""
    return _keys_in(directory / PRIVATE_NAME)


def wrapping_key(database: Path, *, make: bool) -> bytes:
    """The key that wraps device keys; made if there is none and `make` says so. Raises UserError."""
    path = wrapping_key_path(database)
    if make and not path.exists():
        with contextlib.suppress(FileExistsError):  # somebody else may make it in between: theirs holds
            write_new(path, os.urandom(KEY_BYTES).hex().encode() + b"\n")
    return _keys_in(path)[0]


def list_key(database: Path) -> bytes:
    """The key of the lists of all boards that this collector has enrolled; it follows from the wrapping key, so a recovery
    copy brings it back too. Raises UserError."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_LIST_INFO).derive(wrapping_key(database, make=False))


def wrap(key: bytes, device_id: bytes, device_key: bytes) -> bytes:
    """A device key as it is kept in the database."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, device_key, _WRAP_AAD + device_id)


def unwrap(key: bytes, device_id: bytes, wrapped: bytes) -> bytes:
    """The device key again; raises UserError if the wrapping key is not the one it was wrapped with."""
    try:
        return AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _WRAP_AAD + device_id)
    except InvalidTag as error:
        raise UserError(
            say("khoá bọc không khớp với cơ sở dữ liệu", "the wrapping key does not fit the database"),
            hint=say("khôi phục bằng 'chot collector restore'", "'chot collector restore' brings it back"),
            exit_code=EXIT_ENVIRONMENT,
        ) from error


def _stretch(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase.encode())


def seal_recovery(secrets: Secrets, passphrase: str) -> bytes:
    """The recovery file: the secrets under a key stretched from the passphrase."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise UserError(
            say("cụm mật khẩu quá ngắn", "the passphrase is too short"),
            hint=say(f"ít nhất {MIN_PASSPHRASE_CHARACTERS} ký tự", f"at least {MIN_PASSPHRASE_CHARACTERS} characters"),
        )
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    inside = {"private_keys": [key.hex() for key in secrets.private_keys], "wrapping_key": secrets.wrapping_key.hex()}
    sealed = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, json.dumps(inside).encode(), _RECOVERY_AAD)
    outside = {"chot_recovery": 1, "salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}
    return json.dumps(outside).encode() + b"\n"


def open_recovery(data: bytes, passphrase: str) -> Secrets:
    """The secrets in a recovery file; raises UserError if it is none or the passphrase is wrong."""
    try:
        outside = json.loads(data[:MAX_RECOVERY_BYTES])
        if outside["chot_recovery"] != 1:
            raise ValueError("another version")
        salt, nonce, sealed = (bytes.fromhex(outside[name]) for name in ("salt", "nonce", "sealed"))
        inside = json.loads(AESGCM(_stretch(passphrase, salt)).decrypt(nonce, sealed, _RECOVERY_AAD))
        return Secrets(
            tuple(bytes.fromhex(key) for key in inside["private_keys"]), bytes.fromhex(inside["wrapping_key"])
        )
    except InvalidTag as error:
        raise UserError(
            say("cụm mật khẩu sai, hoặc tệp đã hỏng", "the passphrase is wrong, or the file is damaged"),
            hint=say("thử lại, hoặc dùng bản sao khác", "try again, or take another copy of it"),
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            say("không phải tệp khôi phục", "not a recovery file"),
            hint=say("'chot collector init' ghi nó với tên", "'chot collector init' wrote it, under the name")
            + f" {RECOVERY_NAME}",
        ) from error


def write_secrets(directory: Path, secrets: Secrets) -> None:
    """Put the secrets where the collector looks for them; raises UserError rather than overwrite anything."""
    private, public = directory / PRIVATE_NAME, directory / PUBLIC_NAME
    wrapping = wrapping_key_path(directory / DATABASE_NAME)
    try:
        for path in (private, wrapping):
            if path.exists():
                raise _exists(path)
        directory.mkdir(parents=True, exist_ok=True)
        write_new(wrapping, secrets.wrapping_key.hex().encode() + b"\n")
        write_new(private, b"".join(key.hex().encode() + b"\n" for key in secrets.private_keys))
        public.write_text(collector_public(secrets.private_keys[0]).hex() + "\n")
    except OSError as error:
        raise _unwritable(directory, error) from error


def init(directory: Path, recovery: Path, passphrase: str) -> bytes:
    """Make a collector's secrets and their recovery copy; returns the public key. Raises UserError; a recovery copy is
    on the disk before any key is, so there is never a key without its copy."""
    try:
        for path in (directory / PRIVATE_NAME, wrapping_key_path(directory / DATABASE_NAME), recovery):
            if path.exists():
                raise _exists(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    secrets = Secrets((os.urandom(KEY_BYTES),), os.urandom(KEY_BYTES))
    sealed = seal_recovery(secrets, passphrase)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        write_new(recovery, sealed)
    except OSError as error:
        raise _unwritable(recovery, error) from error
    write_secrets(directory, secrets)
    return collector_public(secrets.private_keys[0])
