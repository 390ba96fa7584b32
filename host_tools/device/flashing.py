"""Flashing: MicroPython, partition table, identity, file system, blank lists and journal, in one pass and verified."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import littlefs

from host_tools.build.boards import load_board
from host_tools.build.bundle import compile_bundle
from host_tools.build.identity import Identity, encode_partition
from host_tools.build.image import CONFIG_PATH, encode_config, make_filesystem, place_lists
from host_tools.build.partitions import (
    MIB,
    PARTITION_MAPS,
    TABLE_OFFSET,
    TABLE_SECTOR_BYTES,
    Partition,
    encode_table,
    find,
    partition_map,
)
from host_tools.build.settings import check_config, check_parts
from host_tools.device.dumping import Flashed
from host_tools.device.loader import Board, Progress
from host_tools.device.micropython import OLDEST, OLDEST_CELLULAR, MicroPython
from host_tools.errors import EXIT_DEVICE, EXIT_INPUT, UserError
from host_tools.formats.lists import ListFormatError
from host_tools.text import say

FIRMWARE_DIR = Path(__file__).resolve().parents[2] / "firmware"
# What the technician's tools want to know of a board that is in maintenance.
MADE_PATH = "made.json"
_SECTOR_BYTES = 4096
_DAY_S = 86_400


@dataclass(frozen=True)
class Plan:
    """What goes where: `pieces` in the order of writing, the boot loader last, and `blanks` that must read 0xFF."""

    pieces: tuple[tuple[int, bytes], ...] = field(repr=False)
    blanks: tuple[tuple[int, int], ...]


class Maker:
    """Makes the plans of many boards of one kind: the firmware is compiled once. UserError if MicroPython is too old for
    the board, or for another chip."""

    def __init__(self, micropython: MicroPython, board: str, firmware: Path = FIRMWARE_DIR) -> None:
        described = load_board(board)
        self.micropython = micropython
        self.board = board
        self.firmware = firmware
        if micropython.chip != described.chip:
            raise UserError(
                say(
                    f"MicroPython cho {micropython.chip}, còn '{board}' là {described.chip}",
                    f"this MicroPython is for {micropython.chip}, and '{board}' is {described.chip}",
                ),
                hint=say(f"tải bản cho {described.chip}", f"download the one for {described.chip}"),
                exit_code=EXIT_INPUT,
            )
        cellular = any(name.startswith("MODEM_") for name in described.constants)
        oldest = OLDEST_CELLULAR if cellular else OLDEST
        if micropython.version < oldest:
            needed = f"{oldest[0]}.{oldest[1]}"
            raise UserError(
                say(
                    f"MicroPython {micropython.version_text} quá cũ",
                    f"MicroPython {micropython.version_text} is too old",
                ),
                hint=say(f"cần từ {needed}", f"it takes {needed} or newer")
                + (say(" vì bo mạch có 4G", ", for this board has 4G") if cellular else ""),
                exit_code=EXIT_INPUT,
            )
        made = {"board": board, "micropython": micropython.version_text}
        bundle = compile_bundle(firmware, board, int(time.time()) // _DAY_S * _DAY_S)
        self._bundle = {**bundle, MADE_PATH: json.dumps(made).encode()}

    def check(self, config: Any, lists: bytes | None, *, enrolled: bool = True) -> None:
        """UserError when the firmware would refuse these settings, or they ask for what the board does not have. A board
        that is not enrolled yet gets its lists later."""
        check_config(self.firmware, config)
        try:
            check_parts(config if enrolled else {**config, "lists": []}, self.board, lists)
        except ListFormatError as error:
            raise UserError(
                say(f"danh sách: {error}", f"lists: {error}"),
                hint=say("tạo lại bằng 'chot lists'", "make it again with 'chot lists'"),
            ) from None

    def plan(
        self, flash_bytes: int, config: Any, identity: Identity | None, lists: bytes | None = None
    ) -> Plan:
        """What goes onto a board with so much flash; without an identity its partition stays blank. A list file is for a
        board with its key: UserError without an identity."""
        partitions = partition_map(flash_bytes)
        app, vfs, own = (find(partitions, label) for label in ("factory", "vfs", "identity"))
        micropython = self.micropython
        if len(micropython.app) > app.size:
            raise UserError(
                say(
                    f"MicroPython dài {len(micropython.app)} byte, phân vùng {app.size}",
                    f"MicroPython has {len(micropython.app)} bytes, its partition {app.size}",
                ),
                hint=say("lấy bản không có thêm mô-đun", "take a build without additional modules"),
            )
        filesystem = make_filesystem({**self._bundle, CONFIG_PATH: encode_config(config)}, vfs.size)
        pieces = [
            (TABLE_OFFSET, encode_table(partitions).ljust(TABLE_SECTOR_BYTES, b"\xff")),
            (app.offset, micropython.app),
            (vfs.offset, filesystem),
        ]
        labels = ["nvs", "phy_init", "journal"]
        if lists is None:
            labels.append("lists")
        elif identity is None:
            raise UserError(
                say("danh sách cần bo mạch đã ghi danh", "lists are for a board that is enrolled"),
                hint=say("'chot enroll … --lists FILE'", "'chot enroll … --lists FILE'"),
            )
        else:
            pieces.append(_lists_piece(partitions, lists, identity))
        self.check(config, lists, enrolled=identity is not None)
        if identity is None:
            labels.append("identity")
        else:
            pieces.append((own.offset, encode_partition(identity)))
        pieces.append((micropython.boot_offset, micropython.boot))
        blanks = tuple((part.offset, part.size) for part in partitions if part.label in labels)
        return Plan(tuple(pieces), blanks)


def check_board(board: Board, maker: Maker) -> None:
    """UserError when the board at the port is not the one that the plans are made for."""
    if board.chip != maker.micropython.chip:
        raise UserError(
            say(
                f"{board.port}: sai loại chip: bo mạch là {board.chip}, MicroPython cho {maker.micropython.chip}",
                f"{board.port}: wrong chip: the board is {board.chip}, this MicroPython is for {maker.micropython.chip}",
            ),
            hint=say(f"lấy bản cho {board.chip}", f"take the one for {board.chip}"),
            exit_code=EXIT_DEVICE,
        )
    if board.flash_bytes not in PARTITION_MAPS:
        sizes = ", ".join(f"{size // MIB} MiB" for size in sorted(PARTITION_MAPS))
        raise UserError(
            say(
                f"{board.port}: flash {board.flash_bytes // MIB} MiB không dùng được",
                f"{board.port}: a flash of {board.flash_bytes // MIB} MiB does not do",
            ),
            hint=say(f"cần bo mạch có {sizes}", f"it takes a board with {sizes}"),
            exit_code=EXIT_DEVICE,
        )


def write(board: Board, plan: Plan, progress: Progress | None = None) -> None:
    """Put a plan onto a board and verify every byte of it. The boot loader is taken away first and comes last, so that a
    board that was flashed half does not start."""
    total = sum(len(content) for _, content in plan.pieces)
    done = 0
    boot_offset = plan.pieces[-1][0]
    board.erase(boot_offset, _SECTOR_BYTES)
    for offset, size in plan.blanks:
        blank = b"\xff" * size
        if not board.holds(offset, blank):
            board.erase(offset, size)
            if not board.holds(offset, blank):
                raise UserError(
                    say(
                        f"{board.port}: flash không xoá được ở {offset:#x}",
                        f"{board.port}: the flash does not erase at {offset:#x}",
                    ),
                    hint=say("bo mạch hỏng: lấy bo khác", "the board is defective: take another one"),
                    exit_code=EXIT_DEVICE,
                )
    for offset, content in plan.pieces:
        begun = done

        def tell(sent: int, compressed: int, begun: int = begun, size: int = len(content)) -> None:
            if progress is not None:
                progress(begun + size * sent // max(1, compressed), total)

        board.write([(offset, content)], tell)
        done += len(content)
        if progress is not None:
            progress(done, total)


def kept_config(board: Board, flashed: Flashed) -> dict[str, Any] | None:
    """The settings that a board has on its file system, None where there are none that can be read."""
    for part in flashed.partitions:
        if part.label == "vfs":
            try:
                filesystem = littlefs.LittleFS(block_size=_SECTOR_BYTES, block_count=part.size // _SECTOR_BYTES, mount=False)
                filesystem.context.buffer = bytearray(board.read(part.offset, part.size))
                filesystem.mount()
                with filesystem.open(CONFIG_PATH, "rb") as file:
                    found = json.loads(file.read())
            except (littlefs.LittleFSError, ValueError, OSError):
                return None
            return found if isinstance(found, dict) else None
    return None


def write_identity(board: Board, identity: Identity, lists: bytes | None = None) -> None:
    """Give a flashed board its identity (or another one), and the lists that go with it."""
    partitions = partition_map(board.flash_bytes)
    pieces = [(find(partitions, "identity").offset, encode_partition(identity))]
    if lists is not None:
        pieces.append(_lists_piece(partitions, lists, identity))
    board.write(pieces)


def _lists_piece(partitions: Sequence[Partition], lists: bytes, identity: Identity) -> tuple[int, bytes]:
    part = find(tuple(partitions), "lists")
    return part.offset, place_lists(lists, identity, part.size)
