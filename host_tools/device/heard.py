"""The doctor without a cable: a board's parts as the collector last heard of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host_tools.collector.wording import ALMOST_FULL_PERCENT, FILLING_PERCENT
from host_tools.device.examining import BAD, GOOD, LOOK, WEAK_DBM, WEAK_MOBILE_DBM, Finding
from host_tools.errors import UserError
from host_tools.text import say

_POWER_UPS = 3  # a day: more is no technician at work
_SILENT_MS = 5 * 60_000
_MOBILE = 2  # HEALTH 5
# HEALTH 14 and 20: what the driver knows of its module.
_MODULE_STATES = {1: GOOD, 2: GOOD, 0: LOOK, 3: BAD}
_DRIFT_PPM = 5  # a DS3231 promises 2 (0 to 40 °C) or 3.5


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
    findings.append(_module(say("mô-đun quét", "scan module"), health.get("scan_module_state", 0)))
    if "exit_module_state" in health:
        findings.append(_module(say("mô-đun ra", "exit module"), health["exit_module_state"]))
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
        mobile = health.get("link") == _MOBILE
        weak = health["rssi_dbm"] < (WEAK_MOBILE_DBM if mobile else WEAK_DBM)
        advice = say("sóng yếu: dời ăng-ten", "weak: move the antenna") if weak else ""
        findings.append(Finding("4G" if mobile else "Wi-Fi", LOOK if weak else GOOD, f"{health['rssi_dbm']} dBm", advice))
    ups = board["power_ons_day"]
    text = say(f"bật nguồn {ups} lần trong một ngày", f"came on {ups} times in a day")
    advice = say("nguồn chập chờn: xem lại ổ cắm, bộ nguồn", "unsteady: check plug and supply") if ups > _POWER_UPS else ""
    findings.append(Finding(say("nguồn", "supply"), LOOK if ups > _POWER_UPS else GOOD, text, advice))
    timed = board["clock_known"]
    text = say("biết giờ", "knows the time") if timed else say("chưa biết giờ", "does not know the time yet")
    findings.append(Finding(say("đồng hồ", "clock"), GOOD if timed else LOOK, text))
    if "clock_drift_tenth_ppm" in health:
        ppm = health["clock_drift_tenth_ppm"] / 10
        far = abs(ppm) > _DRIFT_PPM
        text = say(f"lệch {ppm:+.1f} ppm", f"drifts {ppm:+.1f} ppm")
        advice = say("không phải DS3231 thật? thay nó", "no genuine DS3231? put another in") if far else ""
        findings.append(Finding(say("chip đồng hồ", "clock chip"), LOOK if far else GOOD, text, advice))
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


def _module(part: str, told: int) -> Finding:
    state = _MODULE_STATES.get(told, LOOK)
    said = {GOOD: say("đang đọc", "reads"), LOOK: say("chưa rõ", "not known"), BAD: say("im lặng", "silent")}[state]
    return Finding(part, state, said, say("xem lại nguồn và dây", "check its supply and wires") if state == BAD else "")
