"""The image mounts in the real MicroPython, runs from there, and is the same every time."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import littlefs
import pytest

from host_tools.build.identity import Identity, decode_partition
from host_tools.build.image import CONFIG_MAX_BYTES, build_image, encode_config, make_filesystem, used_bytes
from host_tools.build.partitions import MIB, PARTITION_MAPS, TABLE_OFFSET, decode_table, find
from host_tools.errors import UserError

BOARD = "esp32-devkitc"
CONFIG = {"version": 1, "wifi": [{"ssid": "chợ-đông-ba", "password": "x"}], "heartbeat_s": 60}
SCRIPT = Path(__file__).with_name("mount_image.py")


def _build(firmware: Path, identity: Identity, flash_size: int = 4 * MIB) -> bytes:
    return build_image(
        firmware_dir=firmware, board=BOARD, config=CONFIG, identity=identity, flash_size=flash_size
    )


@pytest.mark.parametrize("flash_size", sorted(PARTITION_MAPS))
def test_micropython_mounts_imports_and_writes(
    flash_size: int, firmware: Path, identity: Identity, micropython: Path, tmp_path: Path
) -> None:
    image = tmp_path / "flash.bin"
    image.write_bytes(_build(firmware, identity, flash_size))
    vfs = find(PARTITION_MAPS[flash_size], "vfs")
    command = [micropython, SCRIPT, image, str(vfs.offset), str(vfs.size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    seen = json.loads(done.stdout)
    names = ["board.mpy", "config.json", "journal/ring.mpy", "journal/words.mpy", "main.py"]
    assert seen["files"] == [f"/flash/{name}" for name in names]
    assert seen["tx"] == 17
    assert seen["words"] == "0123456789" * 30
    assert seen["config"] == CONFIG
    assert seen["kept"] is True
    assert seen["main"] == (firmware / "main.py").read_text()
    assert 'File "journal.ring", line 1, in where' in seen["trace"]
    after = image.read_bytes()
    assert after[: vfs.offset] == _build(firmware, identity, flash_size)[: vfs.offset]
    assert set(after[vfs.end :]) == {0xFF}, "MicroPython wrote outside its partition"


@pytest.mark.parametrize("flash_size", sorted(PARTITION_MAPS))
def test_what_lies_where(flash_size: int, firmware: Path, identity: Identity) -> None:
    image = _build(firmware, identity, flash_size)
    partitions = PARTITION_MAPS[flash_size]
    assert len(image) == flash_size
    assert tuple(decode_table(image[TABLE_OFFSET : TABLE_OFFSET + 0x1000])) == partitions
    part = find(partitions, "identity")
    assert decode_partition(image[part.offset : part.end]) == identity
    written = ("identity", "vfs")
    for part in partitions:
        assert (used_bytes(image, part) > 0) == (part.label in written), part.label
    assert used_bytes(image, find(partitions, "identity")) == 4096
    assert set(image[:TABLE_OFFSET]) == {0xFF}, "the boot loader is not ours to write"


def test_the_same_inputs_give_the_same_bytes(firmware: Path, identity: Identity, tmp_path: Path) -> None:
    first = _build(firmware, identity)
    moved = firmware.rename(tmp_path / "moved")
    for file in moved.rglob("*.py"):
        file.touch()
    assert _build(moved, identity) == first
    assert _build(moved, replace(identity, last_command=1)) != first


def test_the_keys_are_in_the_identity_alone(firmware: Path, identity: Identity) -> None:
    image = _build(firmware, identity)
    vfs = find(PARTITION_MAPS[4 * MIB], "vfs")
    for secret in (identity.device_key, identity.list_key):
        assert image.count(secret.hex().encode()) == 1 and secret not in image
        assert secret.hex().encode() not in image[vfs.offset : vfs.end]


def test_config_is_compact_and_keeps_vietnamese() -> None:
    assert encode_config({"version": 2, "name": "chợ"}) == '{"version":2,"name":"chợ"}'.encode()


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"version": 1, "device_key": "11" * 32},
        {"version": 1, "heartbeat_s": float("nan")},
        {"version": 1, "note": "x" * CONFIG_MAX_BYTES},
        {"version": 1, "note": "\ud800"},
    ],
)
def test_what_cannot_be_a_config_is_refused(config: object) -> None:
    with pytest.raises(UserError) as raised:
        encode_config(config)
    assert "\n" not in raised.value.message and raised.value.hint


def test_files_that_do_not_fit_are_a_user_error() -> None:
    with pytest.raises(UserError) as raised:
        make_filesystem({"big.bin": bytes(40_000)}, 32 * 1024)
    assert raised.value.hint


def test_the_file_system_holds_every_byte_of_deep_and_large_files() -> None:
    files = {"a/b/c/d.bin": bytes(range(256)) * 100, "a/empty": b"", "a/b/inline": b"x" * 100, "z": b"y" * 129}
    made = make_filesystem(files, 128 * 1024)
    filesystem = littlefs.LittleFS(
        context=littlefs.UserContext(buffer=bytearray(made)), block_size=4096, block_count=32, mount=False
    )
    filesystem.mount()
    for path, content in files.items():
        with filesystem.open(path, "rb") as file:
            assert file.read() == content
