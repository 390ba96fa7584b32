"""`chot build`: one flash image for one board, from the firmware, its config and its identity."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from host_tools.errors import EXIT_OK, UserError
from host_tools.private_files import replace_private
from host_tools.text import say

SUMMARY = ("tạo ảnh flash cho một bo mạch", "make the flash image of one board")
EXAMPLE = "chot build --board esp32-devkitc --config config.json --identity identity.json --output flash.bin"

DAY_S = 86_400
_MAX_LISTS_BYTES = 16 << 20
_FIRMWARE_DIR = Path(__file__).resolve().parents[2] / "firmware"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nẢnh gồm bảng phân vùng, danh tính, hệ tệp, danh sách nếu có; nhật ký để trống. Bộ nạp khởi động và MicroPython\n"
        "không có trong ảnh: chúng được ghi lúc nạp bo mạch. Ảnh chứa khoá của bo mạch nên chỉ chủ tệp đọc được.",
        ".\nThe image holds partition table, identity, file system, and lists if some are given; the journal is blank.\n"
        "The boot loader and MicroPython itself are not in it: they are written when the board is flashed. The image\n"
        "holds the board's key, so only its owner may read the file.",
    )
    parser.add_argument("--board", required=True, help=say("tên trong hardware/boards/", "a name in hardware/boards/"))
    parser.add_argument("--config", type=Path, required=True, help=say("cấu hình, JSON", "settings, JSON"))
    parser.add_argument(
        "--identity",
        type=Path,
        required=True,
        help=say("danh tính, JSON, quyền 0600", "identity, JSON, mode 0600"),
    )
    parser.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        help=say(
            "nơi cấp chứng chỉ mà bo mạch tin khi dùng https (PEM hay DER)",
            "whose certificates the board believes under https (PEM or DER)",
        ),
    )
    parser.add_argument(
        "--lists", type=Path, metavar="FILE", help=say("danh sách thẻ, do 'chot lists' tạo", "a file made by 'chot lists'")
    )
    parser.add_argument("--output", type=Path, required=True, help=say("tệp ảnh sẽ ghi", "the image file to write"))
    parser.add_argument("--flash-size", type=int, choices=(4, 16), default=4, help="MiB (4)")
    parser.add_argument(
        "--firmware", type=Path, default=_FIRMWARE_DIR, help=say("thư mục firmware/", "the firmware/ directory")
    )


def run(args: argparse.Namespace) -> int:
    """Build, write, and say what takes how much room."""
    from host_tools.build.bundle import compile_bundle
    from host_tools.build.identity import CA_MAX_BYTES, check_transport, load_authority, load_identity
    from host_tools.build.image import assemble, used_bytes
    from host_tools.build.partitions import MIB, partition_map
    from host_tools.build.settings import check_config, check_parts

    config = _load_json(args.config)
    identity = load_identity(args.identity)
    lists = None if args.lists is None else _read_lists(args.lists)
    bundle = compile_bundle(args.firmware, args.board, int(time.time()) // DAY_S * DAY_S)
    check_config(args.firmware, config)
    authority = load_authority(args.ca) if args.ca else b""
    if authority and len(authority) <= CA_MAX_BYTES:
        identity = dataclasses.replace(identity, collector_ca=authority)
    elif authority:
        identity = dataclasses.replace(identity, collector_ca=b"")
        bundle["ca.der"] = authority
    check_transport(identity, config, authority)
    image = assemble(bundle, config, identity, args.flash_size * MIB, lists)
    check_parts(config, args.board, lists)
    replace_private(args.output, image)

    print(say("phân vùng    vị trí     KiB  đã dùng KiB", "partition    offset     KiB     used KiB"))
    for part in partition_map(args.flash_size * MIB):
        used = used_bytes(image, part)
        print(f"{part.label:<10} {part.offset:#8x} {part.size // 1024:>7} {used // 1024:>12}")
    modules = {path: code for path, code in bundle.items() if path.endswith(".mpy")}
    total = sum(map(len, modules.values()))
    print(say(f".mpy: {len(modules)} mô-đun, {total} byte", f".mpy: {len(modules)} modules, {total} bytes"))
    print(say(f"bo mạch {identity.device_id.hex()}: {args.output}", f"board {identity.device_id.hex()}: {args.output}"))
    return EXIT_OK


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn của --config", "check the path given to --config"),
        ) from None
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            say(f"{path} không phải JSON: {reason}", f"{path} is not JSON: {reason}"),
            hint=say("sửa ở dòng và cột ấy", "mend it at that line and column"),
        ) from None


def _read_lists(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_LISTS_BYTES)  # what is longer fits nowhere, and is refused for that
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn của --lists", "check the path given to --lists"),
        ) from None
