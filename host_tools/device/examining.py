"""The doctor: a board's parts one by one, over USB; each a verdict in plain words, and what to do."""

from __future__ import annotations

import ast
import base64
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding

from host_tools.build.boards import load_board
from host_tools.build.identity import certificates
from host_tools.device.console import Console, in_maintenance
from host_tools.errors import EXIT_DEVICE, UserError
from host_tools.formats import enrolment
from host_tools.text import say

GUEST = Path(__file__).parent / "guest" / "doctor.py"
GOOD, LOOK, BAD, ABSENT = "good", "look", "bad", "absent"
_SECONDS_TO_2000 = 946_684_800
_LEAST_HEAP_BYTES = 60_000  # free in maintenance
WEAK_DBM, WEAK_MOBILE_DBM = -75, -97
_CLOCK_OFF_S = 5
_HELPERS = ("say", "alive")  # of the guest's functions
# Scan modules that can be asked -> the guest's function that does; `auto` is whichever answers, in the firmware's order.
_ASKS = {"gm65": "grow", "ssi": "ssi", "newland": "newland"}
_HOME, _DENIED, _ROAMING = 1, 3, 5  # as +CEREG has them
# The step of a request that failed -> what to do.
_STEPS = {
    "DNS": ("tên máy chủ có đúng? DNS của mạng có chạy?", "is the name right? does the network's DNS work?"),
    "TCP": ("máy chủ có chạy, tường lửa có mở?", "is it running, is the firewall open?"),
    "TLS": ("chứng chỉ của máy chủ: nơi cấp (--ca), tên, ngày", "its certificate: authority (--ca), name, dates"),
    "HTTP": ("máy chủ có chạy, tường lửa có mở?", "is it running, is the firewall open?"),
}


class Centre(NamedTuple):
    """A collector as a board is to know it: address, fingerprint of its key, under https whom to believe (DER certificates)."""

    url: str
    fingerprint: bytes
    authority: bytes


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
    port: str, tell: Callable[[Finding], None] = lambda finding: None, centre: Centre | None = None
) -> list[Finding]:
    """Examine the board at `port`; each finding is told as it is made. The board goes back to work afterwards. `centre` is
    asked for a board that is not enrolled yet."""
    findings: list[Finding] = []

    def add(finding: Finding) -> None:
        findings.append(finding)
        tell(finding)

    with in_maintenance(port) as console:
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
        add(_module(console, say("mô-đun quét", "scan module"), config.get("scanner", "gm65"), parts["scanner"]))
        if config.get("exit_scanner", "none") != "none" and "scanner2" in parts:
            add(_module(console, say("mô-đun ra", "exit module"), config["exit_scanner"], parts["scanner2"]))
        for finding in _shown(console, parts):
            add(finding)
        add(_clock(console, parts))
        if centre is None:
            identity = _ask(console, "identity()")
            if "public" in identity:
                public, authority = bytes.fromhex(identity["public"]), base64.b64decode(identity["authority"])
                centre = Centre(identity["url"], enrolment.fingerprint(public), authority)
        add(_modem(console, config, parts))
        wifi = _wifi(console, config)
        add(wifi)
        add(_collector(console, centre, wifi.state))
        advice = say("chot doctor … --collector URL", "chot doctor … --collector URL")
        counted = say("trung tâm đếm lần mất nguồn", "the collector counts power fails")
        add(Finding(say("nguồn", "supply"), ABSENT, counted, advice))
    return findings


def _ask(console: Console, call: str) -> dict[str, Any]:
    """The JSON object that a function of the guest prints last. The board gets that function alone, for a board that is
    full has no room to compile them all."""
    text = GUEST.read_text("utf-8")
    name = call.partition("(")[0]
    wanted = [
        ast.get_source_segment(text, part)
        for part in ast.parse(text).body
        if not isinstance(part, ast.FunctionDef) or part.name in (name, *_HELPERS)
    ]
    lines = console.run("\n".join([*map(str, wanted), call, f"del {name}"])).strip().splitlines()
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


def _module(console: Console, part: str, kind: str, pins: Mapping[str, int]) -> Finding:
    if kind == "line":
        said = say("chỉ in mã, không hỏi được", "it only prints codes, nothing answers")
        return Finding(part, LOOK, said, say("đưa một thẻ vào", "hold a card before it"))
    heard = 0
    for name, function in _ASKS.items():
        if kind not in (name, "auto"):
            continue
        found = _ask(console, f"{function}({pins['uart']}, {pins['tx']}, {pins['rx']})")
        if "baud" in found:
            return Finding(part, GOOD, f"{_described(name, found)}, {found['baud']} baud")
        heard += found["heard"]
    if heard:
        said = say("trả lời không hiểu được", "it answers what nobody understands")
        return Finding(part, BAD, said, say("xem lại loại mô-đun trong cấu hình", "check the kind in the settings"))
    said = say("không trả lời", "no answer")
    return Finding(part, BAD, said, say("xem lại nguồn và hai dây TX, RX", "check its supply and the wires TX and RX"))


def _described(kind: str, found: Mapping[str, Any]) -> str:
    """A module that has answered, and its firmware where it tells that."""
    if kind == "gm65":
        version = f"{found['software'] / 100:.2f}"
        return say(f"kiểu {found['model']}, firmware {version}", f"model {found['model']}, firmware {version}")
    family = {"ssi": "SSI", "newland": "Newland"}[kind]
    return f"{family}, firmware {found.get('revision') or say('không nói', 'not told')}"


def _shown(console: Console, parts: Mapping[str, Mapping[str, int]]) -> Iterable[Finding]:
    """What only a person can judge: light, tone, click."""
    lamp = parts["lamp"]
    if "ws2812" in lamp:
        _ask(console, f"strip({lamp['ws2812']})")
    else:
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


def _modem(console: Console, config: Mapping[str, Any], parts: Mapping[str, Mapping[str, int]]) -> Finding:
    part, settings = say("modem", "modem"), config.get("cellular")
    if "modem" not in parts:
        return Finding(part, ABSENT, say("bo mạch này không có", "this board has none"))
    if not settings:
        return Finding(part, ABSENT, say("cấu hình không dùng 4G", "the settings do not use 4G"))
    kind = settings.get("modem", "a7670")
    found = _ask(console, f"modem({kind!r}, {dict(parts['modem'])!r}, {settings.get('pin', '')!r})")
    if "absent" in found:
        advice = say("xem lại nguồn 4 V (2 A) và các dây", "check its 4 V supply (2 A) and its wires")
        return Finding(part, BAD, say("không trả lời", "no answer"), advice)
    made = found["revision"] or kind
    if found["sim"] != "READY":
        said = f"{made}, SIM: {found['sim'] or say('không có', 'none')}"
        advice = {
            "": say("tắt nguồn, lắp SIM, bật lại", "power off, put a SIM in, power on"),
            "SIM PUK": say("mở khoá SIM trong điện thoại", "unlock it in a phone"),
        }.get(found["sim"], say("đặt đúng PIN: cellular.pin", "set the right PIN: cellular.pin"))
        return Finding(part, BAD, said, advice)
    if found["registration"] == _DENIED:
        said = say(f"{made}, mạng từ chối SIM này", f"{made}, the network refuses this SIM")
        return Finding(part, BAD, said, say("SIM còn hạn, còn dữ liệu không?", "is it paid for, is data allowed?"))
    if found["registration"] not in (_HOME, _ROAMING):
        said = say(f"{made}, không có mạng", f"{made}, no network")
        return Finding(part, BAD, said, say("xem lại ăng-ten và chỗ đặt", "check the antenna and its place"))
    where = say("mạng nhà", "home") if found["registration"] == _HOME else say("chuyển vùng", "roaming")
    text = f"{made}, {where}" + ("" if found["dbm"] is None else f", {found['dbm']} dBm")
    if found["dbm"] is not None and found["dbm"] < WEAK_MOBILE_DBM:
        return Finding(part, LOOK, text, say("sóng yếu: dời ăng-ten", "weak: move the antenna"))
    return Finding(part, GOOD, text)


def _wifi(console: Console, config: Mapping[str, Any]) -> Finding:
    networks = config.get("wifi", [])
    if not networks and config.get("cellular"):
        return Finding("Wi-Fi", ABSENT, say("chỉ dùng 4G", "4G alone is used"))
    if not networks:
        advice = say("chot config set PORT 'wifi=[{...}]'", "chot config set PORT 'wifi=[{...}]'")
        return Finding("Wi-Fi", BAD, say("chưa đặt mạng nào", "no network is set"), advice)
    found = _ask(console, f"wifi({networks!r})")
    if "ssid" not in found:
        names = ", ".join(network["ssid"] for network in networks)
        said = say(f"không vào được: {names}", f"none lets it in: {names}")
        return Finding("Wi-Fi", BAD, said, say("xem lại tên, mật khẩu, khoảng cách", "check name, password, distance"))
    text = f"{found['ssid']}, {found['rssi']} dBm"
    if found["rssi"] < WEAK_DBM:
        return Finding("Wi-Fi", LOOK, text, say("sóng yếu: dời bo mạch hay ăng-ten", "weak: move the board or the antenna"))
    return Finding("Wi-Fi", GOOD, text)


def _collector(console: Console, centre: Centre | None, wifi: str) -> Finding:
    """Whether it answers, under https with a certificate that holds, and whether it is the one whose key the board has."""
    part = say("trung tâm", "collector")
    if centre is None:
        return Finding(part, BAD, say("chưa ghi danh", "not enrolled"), "chot enroll")
    url = urlsplit(centre.url)
    if wifi == ABSENT:
        said = say(f"{centre.url}: không hỏi qua 4G", f"{centre.url}: is not asked over 4G")
        return Finding(part, LOOK, said, "chot doctor … --collector URL")
    if wifi == BAD:
        said = say("không có mạng để hỏi", "no network to ask it over")
        return Finding(part, BAD, said, say("sửa Wi-Fi trước", "mend Wi-Fi first"))
    secure = url.scheme == "https"
    if secure and not centre.authority:
        said = say(f"{centre.url}: không có chứng chỉ nơi cấp", f"{centre.url}: no authority's certificate on the board")
        return Finding(part, BAD, said, "chot enroll … --ca ca.pem")
    now = datetime.now(timezone.utc)
    clock = (now.year, now.month, now.day, now.weekday(), now.hour, now.minute, now.second, 0)
    trusted = certificates(centre.authority) if secure else []
    authority = [one.public_bytes(Encoding.DER) for one in trusted]
    port = url.port or (443 if secure else 80)
    found = _ask(console, f"collector({url.hostname!r}, {port}, {enrolment.PATH!r}, {authority!r}, {clock})")
    if "error" in found:
        return Finding(part, BAD, f"{centre.url}: {found['step']}: {found['error']}", say(*_STEPS[found["step"]]))
    if found["status"] != "200":
        said = say(f"{centre.url} trả lời {found['status']!r}", f"{centre.url} answers {found['status']!r}")
        return Finding(part, BAD, said, say("có đúng là trung tâm Chốt không?", "is it a Chốt collector?"))
    if enrolment.fingerprint(bytes.fromhex(found["body"])) != centre.fingerprint:
        said = say(f"{centre.url} không giữ khoá của bo mạch", f"{centre.url} does not hold the board's key")
        return Finding(part, BAD, said, say("ghi danh lại, hoặc sửa địa chỉ", "enrol again, or mend the address"))
    trust = say(", chứng chỉ đúng", ", its certificate holds") if secure else ""
    return Finding(part, GOOD, f"{centre.url}{trust}, {found['ms']} ms")
