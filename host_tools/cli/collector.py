"""`chot collector`: the centre that boards report to: its keys, its boards, its server, and what it knows."""

from __future__ import annotations

import argparse
import json
import signal
import ssl
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from host_tools.build.identity import load_identity
from host_tools.collector import vault
from host_tools.collector.asking import passphrase as ask_passphrase
from host_tools.collector.enrolment import Enrolment
from host_tools.collector.server import CollectorServer
from host_tools.collector.state import StateView
from host_tools.collector.store import Store
from host_tools.collector.trouble import database_errors, reason
from host_tools.collector.wording import counted, gap_line, warnings
from host_tools.errors import EXIT_OK, EXIT_USAGE, UserError
from host_tools.formats.keys import collector_public
from host_tools.private_files import write_private
from host_tools.tables import read_table, write_table
from host_tools.text import say

SUMMARY = ("trung tâm nhận dữ liệu từ các chốt", "the centre that checkpoints report to")
EXAMPLE = "chot collector init centre && chot collector run centre"
DEFAULT_PORT = 8080
MAX_PORT = 65_535
# What is counted of each board: the member of the state, in Vietnamese, in English one and more.
COUNTS = (
    ("quarantined", "cách ly", "quarantined", "quarantined"),
    ("torn", "trong đó dở do mất điện", "of these torn by power cuts", "of these torn by power cuts"),
    ("conflicts", "trùng tên khác nội dung", "kept beside", "kept beside"),
    ("clones", "nghi nhân bản", "clone suspected", "clones suspected"),
    ("missing_sectors", "sector thiếu", "sector missing", "sectors missing"),
    ("holes", "lỗ hổng", "hole", "holes"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their arguments."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def command(name: str, vi: str, en: str, act: Any) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(name, help=say(vi, en), description=say(vi, en))
        directory = say("thư mục trung tâm", "the collector's directory")
        sub.add_argument("directory", type=Path, metavar="DIR", help=directory)
        sub.set_defaults(act=act)
        return sub

    def passphrase(sub: argparse.ArgumentParser) -> None:
        text = say("tệp chứa cụm mật khẩu (không có thì hỏi)", "file with the passphrase (otherwise it is asked for)")
        sub.add_argument("--passphrase-file", type=Path, metavar="FILE", help=text)

    init = command("init", "tạo khoá và bản sao khôi phục", "make the keys and their recovery copy", _init)
    copy = say("nơi ghi bản khôi phục (mặc định DIR/recovery.json)", "the recovery copy (default DIR/recovery.json)")
    init.add_argument("--recovery", type=Path, metavar="FILE", help=copy)
    passphrase(init)

    restore = command("restore", "lấy lại khoá từ bản khôi phục", "bring the keys back from a recovery copy", _restore)
    restore.add_argument("--recovery", type=Path, metavar="FILE", required=True, help=say("bản khôi phục", "the copy"))
    passphrase(restore)

    run_it = command("run", "chạy máy chủ", "run the server", _run)
    run_it.add_argument("--host", default="127.0.0.1", help=say("địa chỉ (mặc định 127.0.0.1)", "default 127.0.0.1"))
    run_it.add_argument("--port", type=int, default=DEFAULT_PORT, help=say("cổng (mặc định 8080)", "default 8080"))

    shown = say("chứng chỉ PEM để nói https (cùng --tls-key)", "certificate chain, PEM, to speak https (with --tls-key)")
    run_it.add_argument("--tls-cert", type=Path, metavar="FILE", help=shown)
    run_it.add_argument("--tls-key", type=Path, metavar="FILE", help=say("khoá riêng PEM của nó", "its private key, PEM"))

    add = command("add-device", "thêm một thiết bị", "add a board", _add_device)
    identity = say("tệp identity JSON của thiết bị", "the board's identity JSON file")
    add.add_argument("--identity", type=Path, metavar="FILE", required=True, help=identity)
    add.add_argument("--checkpoint", required=True, metavar="NAME", help=say("chốt mà nó phục vụ", "where it serves"))

    assign = command("assign", "chuyển thiết bị sang chốt khác", "move a board to another checkpoint", _assign)
    assign.add_argument("device", metavar="DEVICE", help=say("mã thiết bị, 16 chữ số hex", "device id, 16 hex digits"))
    assign.add_argument("checkpoint", metavar="CHECKPOINT", help=say("chốt mới, từ lúc này", "its place from now on"))

    token = command("token", "tạo mã ghi danh dùng một lần", "make one-time tokens that enrol boards", _token)
    token.add_argument("checkpoint", nargs="*", metavar="CHECKPOINT", help=say("mỗi chốt một mã", "a token for each"))
    token.add_argument("--hours", type=int, default=72, help=say("sống bao lâu (mặc định 72)", "how long it holds (72)"))
    table = say("CSV có cột checkpoint; ghi lại với cột token", "a CSV with a column checkpoint; a column token is added")
    token.add_argument("--csv", type=Path, metavar="FILE", help=table)

    status = command("status", "tình trạng", "what has come in, and what to look at", _status)
    status.add_argument("--json", type=Path, metavar="FILE", help=say("ghi thêm ra tệp JSON", "also write a JSON file"))


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    return int(args.act(args))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _checkpoint(name: str) -> str:
    """A checkpoint's name as it was given; raises UserError for one that nobody could read or tell apart."""
    if not name.strip() or not name.isprintable():
        raise UserError(
            say("tên chốt trống, hoặc có ký tự không in được", "the checkpoint's name is blank or has unprintable characters"),
            hint=say("ví dụ 'cổng chợ'", "for example 'market gate'"),
            exit_code=EXIT_USAGE,
        )
    return name


def _init(args: argparse.Namespace) -> int:
    recovery = args.recovery or args.directory / vault.RECOVERY_NAME
    public = vault.init(args.directory, recovery, ask_passphrase(args.passphrase_file, twice=True))
    Store(args.directory / vault.DATABASE_NAME).close()
    print(say(f"khoá công khai: {public.hex()}", f"public key: {public.hex()}"))
    print(say(f"bản khôi phục: {recovery}", f"recovery copy: {recovery}"))
    print(
        say(
            "Mất khoá riêng là mất mọi bản ghi chưa mở. Cất bản khôi phục và cụm mật khẩu ở nơi khác, mỗi thứ một nơi.",
            "Losing the private key loses every record not yet opened. Keep the recovery copy and the passphrase"
            " elsewhere, apart from each other.",
        )
    )
    return EXIT_OK


def _restore(args: argparse.Namespace) -> int:
    try:
        data = args.recovery.read_bytes()
    except OSError as error:
        raise UserError(
            say(f"không đọc được {args.recovery}: {reason(error)}", f"cannot read {args.recovery}: {reason(error)}"),
            hint=say("xem lại --recovery", "check --recovery"),
        ) from error
    secrets = vault.open_recovery(data, ask_passphrase(args.passphrase_file))
    vault.write_secrets(args.directory, secrets)
    public = collector_public(secrets.private_keys[0])
    print(say(f"đã khôi phục, khoá công khai: {public.hex()}", f"restored, public key: {public.hex()}"))
    return EXIT_OK


def _database(directory: Path) -> Path:
    """The database of a directory that was made by init or restore."""
    vault.private_keys(directory)
    return directory / vault.DATABASE_NAME


def _run(args: argparse.Namespace) -> int:
    if not 0 <= args.port <= MAX_PORT:
        raise UserError(
            say(f"--port từ 0 đến {MAX_PORT}", f"--port is 0 to {MAX_PORT}"),
            hint=say("0 để hệ thống chọn một cổng trống", "with 0 the system picks a free one"),
            exit_code=EXIT_USAGE,
        )
    database = _database(args.directory)
    vault.wrapping_key(database, make=False)
    keys = vault.private_keys(args.directory)
    tls = _tls(args.tls_cert, args.tls_key)
    server = CollectorServer(database, keys, clock_ms=_now_ms, host=args.host, port=args.port, tls=tls)
    port = server.start()
    stop = threading.Event()
    before = {name: signal.signal(name, lambda *_: stop.set()) for name in (signal.SIGINT, signal.SIGTERM)}
    page = f"{'https' if tls else 'http'}://{args.host}:{port}/"
    print(say(f"trang theo dõi: {page}", f"page: {page}"), flush=True)
    if args.host not in ("127.0.0.1", "::1", "localhost"):
        warning = (
            "trang này ai vào được mạng cũng xem được: đặt sau một proxy có TLS và đăng nhập",
            "anybody on that network can see the page: put a proxy with TLS and a login before it",
        )
        print(say(*warning), flush=True)
    try:
        stop.wait()
        server.stop()
    finally:
        for name, handler in before.items():  # who called this in a program of his own gets his Ctrl-C back
            signal.signal(name, handler)
    return EXIT_OK


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS with what these files hold, None without them; UserError when they do not serve."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError(
            say("--tls-cert và --tls-key đi cùng nhau", "--tls-cert and --tls-key go together"),
            hint=say("chứng chỉ và khoá riêng, dạng PEM", "the certificate and its private key, as PEM files"),
            exit_code=EXIT_USAGE,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # the ESP32's mbedTLS has no 1.3
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        why = str(error) if isinstance(error, ssl.SSLError) else reason(error)
        raise UserError(
            say(f"{certificate}, {key}: không dùng được: {why}", f"{certificate}, {key}: no use for TLS: {why}"),
            hint=say("cần chứng chỉ PEM và đúng khoá của nó", "it takes a PEM certificate and the key that belongs to it"),
        ) from None
    return context


def _identity(path: Path, privates: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Device id and key of an identity file made for this collector."""
    identity = load_identity(path)
    if identity.collector_public not in [collector_public(private) for private in privates]:
        raise UserError(
            say(f"{path}: dành cho trung tâm khác", f"{path}: made for another collector"),
            hint=say("collector_public không khớp khoá ở đây", "its collector_public is no key of this directory"),
        )
    return identity.device_id, identity.device_key


def _add_device(args: argparse.Namespace) -> int:
    checkpoint = _checkpoint(args.checkpoint)
    database = _database(args.directory)
    device_id, device_key = _identity(args.identity, vault.private_keys(args.directory))
    with database_errors(database), Store(database) as store:
        if device_id in store.devices() and store.assignments(device_id)[-1].checkpoint != checkpoint:
            raise UserError(
                say(f"thiết bị {device_id.hex()} đã có", f"device {device_id.hex()} is known already"),
                hint=say("chuyển chốt bằng 'chot collector assign'", "'chot collector assign' moves it"),
            )
        store.register_device(device_id, device_key, checkpoint, _now_ms())
    print(f"{device_id.hex()}  {checkpoint}")
    return EXIT_OK


def _assign(args: argparse.Namespace) -> int:
    try:
        device_id = bytes.fromhex(args.device)
    except ValueError as error:
        raise UserError(
            say("mã thiết bị là 16 chữ số hex", "a device id is 16 hex digits"),
            hint=say("'chot collector status DIR' liệt kê chúng", "'chot collector status DIR' lists them"),
        ) from error
    checkpoint, database = _checkpoint(args.checkpoint), _database(args.directory)
    with database_errors(database), Store(database, make=False) as store:
        store.assign(device_id, checkpoint, _now_ms())
    print(f"{device_id.hex()}  {checkpoint}")
    return EXIT_OK


def _token(args: argparse.Namespace) -> int:
    database = _database(args.directory)
    table = None if args.csv is None else read_table(args.csv)
    names = [*args.checkpoint, *(row["checkpoint"] for row in table or [])]
    if not names:
        raise UserError(
            say("cho chốt nào?", "for which checkpoint?"),
            hint=say("ví dụ chot collector token DIR 'cổng chợ'", "for example chot collector token DIR 'market gate'"),
            exit_code=EXIT_USAGE,
        )
    names = [_checkpoint(name) for name in names]
    with database_errors(database), Store(database) as store:
        enrolment = Enrolment(store, vault.private_keys(args.directory))
        tokens = [str(enrolment.make(name, args.hours, _now_ms())) for name in names]
    for token, name in list(zip(tokens, names, strict=True))[: len(args.checkpoint)]:
        print(f"{token}  {name}")
    if table is not None:
        rows = [{**row, "token": token} for row, token in zip(table, tokens[len(args.checkpoint) :], strict=True)]
        write_table(args.csv, rows)
        print(say(f"{args.csv}: {len(rows)} mã", f"{args.csv}: {len(rows)} tokens"))
    return EXIT_OK


def _status(args: argparse.Namespace) -> int:
    database = _database(args.directory)
    with database_errors(database):
        Store(database, make=False).close()  # to ask how it is must not make one
        with closing(StateView(database, _now_ms)) as view:
            state, lost = view.state(), view.lost
    if args.json is not None:
        write_private(args.json, json.dumps(state, ensure_ascii=False, indent=1) + "\n", "--json")
    for place in state["checkpoints"]:
        scans = counted(place["scans"], "lượt", "scan", "scans")
        line = f"{place['checkpoint']}: {scans}, {place['not_cards']} {say('không phải thẻ', 'not a card')}"
        if place["unscanned"]:
            line += ", " + counted(place["unscanned"], "lượt qua không quét", "passage unscanned", "passages unscanned")
        if place["waved_in"]:
            line += f", {place['waved_in']} {say('gác cửa cho vào không thẻ', 'let in by the guard without a card')}"
        print(line)
    for board in state["boards"]:
        age = None if board["last_seen"] is None else max(0, state["now"] - board["last_seen"]) // 1000
        seen = say("chưa liên lạc", "never seen") if age is None else say(f"{age} giây trước", f"seen {age} s ago")
        counts = ", ".join(counted(board[name], *words) for name, *words in COUNTS)
        print(f"{board['device']}  {board['checkpoint']}  {board['firmware'] or '–'}  {seen}  {counts}")
    for board in state["boards"]:
        for warning in warnings(board["health"]):
            print(f"! {board['device']}  {warning}")
    for device_id, gap in lost:
        print(f"! {device_id.hex()}  {gap_line(gap)}")
    for matter in state["reports"]:
        print(f"! {matter['device']}  {matter['kind']}  {matter['detail']}  × {matter['times']}")
    return EXIT_OK
