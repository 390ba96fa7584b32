"""The doctor: a board's parts one by one, over USB or as the collector last heard of them; each a verdict in plain words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from host_tools.build.boards import load_board
from host_tools.collector.wording import ALMOST_FULL_PERCENT, FILLING_PERCENT
from host_tools.device.console import Console, in_maintenance
from host_tools.errors import EXIT_DEVICE, UserError
from host_tools.formats import enrolment
from host_tools.text import say

GUEST = Path(__file__).parent / "guest" / "doctor.py"
GOOD, LOOK, BAD, ABSENT = "good", "look", "bad", "absent"
_SECONDS_TO_2000 = 946_684_800
_LEAST_HEAP_BYTES = 60_000  # free in maintenance
_WEAK_DBM = -75
_CLOCK_OFF_S = 5
_POWER_UPS = 3  # a day: more is no technician at work
_SILENT_MS = 5 * 60_000
_GROW_KINDS = ("gm65", "auto")
# HEALTH 14: what the driver knows of its module.
_MODULE_STATES = {1: GOOD, 2: GOOD, 0: LOOK, 3: BAD}


@dataclass(frozen=True)
class Finding:
    """One row: the part, how it is (GOOD, LOOK: a person must look or listen, BAD, ABSENT), what was found, what to do."""

    part: str
    state: str
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """The row for machines."""
        return asdict(self)


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing is BAD."""
    return all(finding.state != BAD for finding in findings)


def examine(
    port: str, tell: Callable[[Finding], None] = lambda finding: None, centre: tuple[str, bytes] | None = None
) -> list[Finding]:
    """Examine the board at `port`; each finding is told as it is made. The board goes back to work afterwards. `centre`
    (address, fingerprint of its key) is asked for a board that is not enrolled yet."""
    findings: list[Finding] = []

    def add(finding: Finding) -> None:
        findings.append(finding)
        tell(finding)

    with in_maintenance(port) as console:
        console.run(GUEST.read_text("utf-8"))
        made = console.made()
        if "board" not in made:
            raise UserError(
                say(f"{port}: không rõ bo mạch loại nào", f"{port}: which kind of board it is, is not noted on it"),
                hint=say("nạp lại bằng 'chot flash'", "'chot flash' notes it"),
                exit_code=EXIT_DEVICE,
            )
        parts = load_board(made["board"]).parts
        config = console.config()
        add(Finding(say("USB", "USB"), GOOD, f"{made['board']}, MicroPython {made.get('micropython', '?')}"))
        add(_heap(_ask(console, "heap()")["free"]))
        add(_journal(_ask(console, "journal()")))
        add(_module(console, config, parts))
        for finding in _shown(console, parts):
            add(finding)
        add(_clock(console, parts))
        if centre is None:
            identity = _ask(console, "identity()")
            if "public" in identity:
                centre = identity["url"], enrolment.fingerprint(bytes.fromhex(identity["public"]))
        wifi = _wifi(console, config)
        add(wifi)
        add(_collector(console, centre, wifi.state == GOOD))
    return findings


def _ask(console: Console, call: str) -> dict[str, Any]:
    """The JSON object that a function of the guest prints last."""
    lines = console.run(call).strip().splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _heap(free: int) -> Finding:
    part = say("bộ nhớ", "heap")
    text = say(f"còn {free // 1024} KiB", f"{free // 1024} KiB free")
    if free < _LEAST_HEAP_BYTES:
        return Finding(part, BAD, text, say("cần bản MicroPython chuẩn", "take a stock MicroPython"))
    return Finding(part, GOOD, text)


def _journal(found: Mapping[str, Any]) -> Finding:
    part = say("nhật ký", "journal")
    if "absent" in found:
        return Finding(part, BAD, say("không có phân vùng", "no partition"), say("'chot flash'", "'chot flash'"))
    text = say(
        f"{found['sectors']} sector: {found['unreleased']} chưa về trung tâm, {found['damaged']} hỏng",
        f"{found['sectors']} sectors: {found['unreleased']} not confirmed yet, {found['damaged']} damaged",
    )
    if found["damaged"] > 2:
        return Finding(part, LOOK, text, say("'chot pull' rồi 'chot rescue'", "'chot pull', then 'chot rescue'"))
    return Finding(part, GOOD, text)


def _module(console: Console, config: Mapping[str, Any], parts: Mapping[str, Mapping[str, int]]) -> Finding:
    part, kind = say("mô-đun quét", "scan module"), config.get("scanner", "gm65")
    pins = parts["scanner"]
    if kind not in _GROW_KINDS:
        said = say(f"loại {kind}: không hỏi được qua USB", f"kind {kind}: is not asked over USB")
        return Finding(part, LOOK, said, say("đưa một thẻ vào", "hold a card before it"))
    found = _ask(console, f"grow({pins['uart']}, {pins['tx']}, {pins['rx']})")
    if "model" in found:
        version = f"{found['software'] / 100:.2f}"
        return Finding(
            part,
            GOOD,
            say(
                f"kiểu {found['model']}, firmware {version}, {found['baud']} baud",
                f"model {found['model']}, firmware {version}, {found['baud']} baud",
            ),
        )
    if kind == "auto":
        said = say("không phải loại GROW", "not of the GROW family")
        return Finding(part, LOOK, said, say("đưa một thẻ vào", "hold a card before it"))
    if found["heard"]:
        said = say("trả lời không hiểu được", "it answers what nobody understands")
        return Finding(part, BAD, said, say("xem lại loại mô-đun trong cấu hình", "check the kind in the settings"))
    said = say("không trả lời", "no answer")
    return Finding(part, BAD, said, say("xem lại nguồn và hai dây TX, RX", "check its supply and the wires TX and RX"))


def _shown(console: Console, parts: Mapping[str, Mapping[str, int]]) -> Iterable[Finding]:
    """What only a person can judge: light, tone, click."""
    lamp = parts["lamp"]
    _ask(console, f"lamp({[lamp[name] for name in ('red', 'green', 'blue')]})")
    yield Finding(
        say("đèn", "lamp"),
        LOOK,
        say("vừa sáng đỏ, xanh lá, xanh dương", "it has just shown red, green, blue"),
        say("thiếu màu nào: xem lại dây ấy", "a colour was missing: check that wire"),
    )
    _ask(console, f"buzzer({parts['buzzer']['pin']})")
    yield Finding(
        say("còi", "buzzer"),
        LOOK,
        say("vừa kêu một tiếng", "it has just beeped once"),
        say("không nghe: xem lại dây còi", "not heard: check its wire"),
    )
    if "relay" not in parts:
        yield Finding(say("rơ-le", "relay"), ABSENT, say("bo mạch này không có", "this board has none"))
        return
    _ask(console, f"relay({parts['relay']['pin']})")
    yield Finding(
        say("rơ-le", "relay"),
        LOOK,
        say("vừa đóng một giây", "it has just been closed for a second"),
        say("cửa không mở: xem lại dây khoá", "the door did not open: check the wires of the lock"),
    )


def _clock(console: Console, parts: Mapping[str, Mapping[str, int]]) -> Finding:
    part = say("đồng hồ", "clock chip")
    if "i2c" not in parts:
        return Finding(part, ABSENT, say("bo mạch này không có", "this board has none"))
    now = int(time.time()) - _SECONDS_TO_2000
    found = _ask(console, f"clock({parts['i2c']['sda']}, {parts['i2c']['scl']}, {now})")
    if "absent" in found:
        return Finding(part, BAD, say("không trả lời", "no answer"), say("xem lại hai dây SDA, SCL", "check SDA and SCL"))
    if found["stopped"]:
        said = say("đã từng mất pin", "it has been without its battery")
        return Finding(part, BAD, said, say("thay pin CR2032", "put a new CR2032 in"))
    text = say(f"lệch {found['error_s']} giây", f"off by {found['error_s']} s")
    if abs(found["error_s"]) > _CLOCK_OFF_S:
        advice = say("trung tâm sẽ chỉnh; xem lại sau một ngày", "the centre sets it; look again in a day")
        return Finding(part, LOOK, text, advice)
    return Finding(part, GOOD, text)


def _wifi(console: Console, config: Mapping[str, Any]) -> Finding:
    networks = config.get("wifi", [])
    if not networks:
        advice = say("chot config set PORT 'wifi=[{...}]'", "chot config set PORT 'wifi=[{...}]'")
        return Finding("Wi-Fi", BAD, say("chưa đặt mạng nào", "no network is set"), advice)
    found = _ask(console, f"wifi({networks!r})")
    if "ssid" not in found:
        names = ", ".join(network["ssid"] for network in networks)
        said = say(f"không vào được: {names}", f"none lets it in: {names}")
        return Finding("Wi-Fi", BAD, said, say("xem lại tên, mật khẩu, khoảng cách", "check name, password, distance"))
    text = f"{found['ssid']}, {found['rssi']} dBm"
    if found["rssi"] < _WEAK_DBM:
        return Finding("Wi-Fi", LOOK, text, say("sóng yếu: dời bo mạch hay ăng-ten", "weak: move the board or the antenna"))
    return Finding("Wi-Fi", GOOD, text)


def _collector(console: Console, centre: tuple[str, bytes] | None, reachable: bool) -> Finding:
    """Whether it answers, and whether it is the one whose key the board has."""
    part = say("trung tâm", "collector")
    if centre is None:
        return Finding(part, BAD, say("chưa ghi danh", "not enrolled"), "chot enroll")
    url, fingerprint = urlsplit(centre[0]), centre[1]
    if not reachable:
        said = say("không có mạng để hỏi", "no network to ask it over")
        return Finding(part, BAD, said, say("sửa Wi-Fi trước", "mend Wi-Fi first"))
    if url.scheme == "https":
        said = say(f"{url.geturl()}: https, không hỏi được qua USB", f"{url.geturl()}: https is not asked over USB")
        return Finding(part, LOOK, said, "chot doctor … --collector URL")
    found = _ask(console, f"collector({url.hostname!r}, {url.port or 80}, {enrolment.PATH!r})")
    if "error" in found:
        advice = say("máy chủ có chạy, tường lửa có mở?", "is it running, is the firewall open?")
        return Finding(part, BAD, f"{url.geturl()}: {found['error']}", advice)
    if enrolment.fingerprint(bytes.fromhex(found["body"])) != fingerprint:
        said = say(f"{url.geturl()} không giữ khoá của bo mạch", f"{url.geturl()} does not hold the board's key")
        return Finding(part, BAD, said, say("ghi danh lại, hoặc sửa địa chỉ", "enrol again, or mend the address"))
    return Finding(part, GOOD, f"{url.geturl()}, {found['ms']} ms")


def from_collector(state: Mapping[str, Any], device: str) -> list[Finding]:
    """The findings about a board from the collector's /v1/state; UserError if it does not know the board."""
    board = next((board for board in state["boards"] if board["device"] == device or board["checkpoint"] == device), None)
    if board is None:
        names = ", ".join(f"{one['device']} ({one['checkpoint']})" for one in state["boards"][:5])
        raise UserError(
            say(f"trung tâm không biết '{device}'", f"the collector does not know '{device}'"),
            hint=say("nó biết: ", "it knows: ") + (names or "–"),
        )
    health = board["health"]
    findings = [_seen(state["now"], board["last_seen"])]
    module = _MODULE_STATES.get(health.get("scan_module_state", 0), LOOK)
    said = {GOOD: say("đang đọc", "reads"), LOOK: say("chưa rõ", "not known"), BAD: say("im lặng", "silent")}[module]
    advice = say("xem lại nguồn và dây", "check its supply and wires") if module == BAD else ""
    findings.append(Finding(say("mô-đun quét", "scan module"), module, said, advice))
    findings.append(Finding("firmware", GOOD, str(board["firmware"] or "–")))
    if "heap_free_bytes" in health:
        # Between two collections it says little: a figure, no verdict.
        free = health["heap_free_bytes"] // 1024
        findings.append(Finding(say("bộ nhớ", "heap"), GOOD, say(f"còn {free} KiB", f"{free} KiB free")))
    fill = health.get("journal_fill_percent", 0)
    full = GOOD if fill < FILLING_PERCENT else LOOK if fill < ALMOST_FULL_PERCENT else BAD
    advice = "" if full == GOOD else say("xem lại mạng của bo mạch", "see to the board's network")
    findings.append(Finding(say("nhật ký", "journal"), full, say(f"đầy {fill} %", f"{fill} % full"), advice))
    if "rssi_dbm" in health:
        weak = health["rssi_dbm"] < _WEAK_DBM
        advice = say("sóng yếu: dời ăng-ten", "weak: move the antenna") if weak else ""
        findings.append(Finding("Wi-Fi", LOOK if weak else GOOD, f"{health['rssi_dbm']} dBm", advice))
    ups = board["power_ons_day"]
    text = say(f"bật nguồn {ups} lần trong một ngày", f"came on {ups} times in a day")
    advice = say("nguồn chập chờn: xem lại ổ cắm, bộ nguồn", "unsteady: check plug and supply") if ups > _POWER_UPS else ""
    findings.append(Finding(say("nguồn", "supply"), LOOK if ups > _POWER_UPS else GOOD, text, advice))
    timed = board["clock_known"]
    text = say("biết giờ", "knows the time") if timed else say("chưa biết giờ", "does not know the time yet")
    findings.append(Finding(say("đồng hồ", "clock"), GOOD if timed else LOOK, text))
    lost = board["missing_sectors"] + board["clones"]
    text = say(f"thiếu {board['missing_sectors']} sector", f"{board['missing_sectors']} sectors missing")
    advice = say("'chot collector status' nói rõ", "'chot collector status' says more") if lost else ""
    findings.append(Finding(say("dữ liệu", "data"), BAD if lost else GOOD, text, advice))
    return findings


def _seen(now_ms: int, last_ms: int | None) -> Finding:
    part = say("liên lạc", "heard")
    if last_ms is None:
        advice = say("nguồn? Wi-Fi? 'chot doctor PORT'", "supply? Wi-Fi? 'chot doctor PORT'")
        return Finding(part, BAD, say("chưa bao giờ", "never"), advice)
    age_s = max(0, now_ms - last_ms) // 1000
    text = say(f"{age_s} giây trước", f"{age_s} s ago")
    if now_ms - last_ms > _SILENT_MS:
        return Finding(part, BAD, text, say("nguồn và mạng của cửa ấy", "see to that door's supply and network"))
    return Finding(part, GOOD, text)
