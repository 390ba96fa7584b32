"""Settings: what may be set, its limits, and the rule that a bad value is named and the last good config goes on."""

import json
import os

_GOOD = "config.good"
_NEW = "config.new"

# Setting: its default first. A number's limits follow it, a word's alternatives, a list's words if not all stand in it, an
# object's members.
_SCHEMA = {
    "version": (0, 0, 0x3FFFFFFF),
    "wifi": ([],),
    "repeat_window_s": (60, 0, 86400),
    "record_repeats": (False,),
    "journal_full": ("refuse", "overwrite"),
    "scanner": ("gm65", "auto", "ssi", "newland", "line"),
    "exit_scanner": ("none", "gm65", "auto", "ssi", "newland", "line"),
    "line_baud": (9600, 1200, 115200),
    "line_gap_ms": (60, 20, 1000),
    "line_suffix": (b"\r",),
    "line_start": (b"",),
    "line_stop": (b"",),
    "cards": (["qrqg", "cccd", "bhyt", "passes"],),
    "other_codes": ("record", "refuse"),
    "hours": ([],),
    "quiet_hours": ([],),
    "lock": ("fail-secure", "fail-safe"),
    "lock_open_s": (4, 1, 60),
    "held_open_s": (30, 5, 3600),
    "utc_offset_min": (420, -720, 840),
    "lists": ([], "deny", "allow"),
    "most_inside": (0, 0, 9999),
    "links": (["wifi", "cellular"],),
    "cellular": ({}, {
        "modem": ("a7670", "a7672", "sim7600"),
        "apn": (b"",),
        "user": (b"",),
        "password": (b"",),
        "pin": (b"",),
        "metered": (True,),
        "budget_mb": (0, 0, 1000000),
    }),  # fmt: skip
    "ntp": (b"",),
    "clock_chip": ("none", "ds3231"),
    "heartbeat_s": (35, 5, 3600),
    "health_s": (900, 10, 86400),
    "metered_wait_s": (60, 0, 3600),
    "plain_http": (False,),
}


class ConfigError(Exception):
    """One line: which member is wrong, and what it should be."""


class Config:
    """Every setting of the schema as an attribute."""

    def __init__(self, members):
        for name, rule in _SCHEMA.items():
            value = members.get(name, rule[0])
            setattr(self, name, value.encode() if isinstance(rule[0], bytes) and isinstance(value, str) else value)


def _need(good, name, want):
    if not good:
        raise ConfigError("%s: %s" % (name, want))


def _text(value, name, low, high):
    _need(isinstance(value, str), name, "a text")
    _need(value, name, "empty")
    _need(low <= len(value.encode()) <= high, name, "%d to %d bytes" % (low, high))


def _is_address(text):
    parts = text.split(".") if isinstance(text, str) else ()
    return len(parts) == 4 and all([part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts])


def _networks(value, name):
    for i, network in enumerate(value):
        here = "%s[%d]" % (name, i)
        _need(isinstance(network, dict), here, "an object")
        for member in network:
            _need(member in ("ssid", "password", "static", "metered"), here + "." + str(member), "not a setting")
        _text(network.get("ssid"), here + ".ssid", 1, 32)
        if "password" in network:
            _text(network["password"], here + ".password", 8, 63)
        if "static" in network:
            four = network["static"]
            good = isinstance(four, list) and len(four) == 4 and all([_is_address(text) for text in four])
            _need(good, here + ".static", "own address, mask, gateway, DNS server")
        _need(isinstance(network.get("metered", False), bool), here + ".metered", "true or false")


def _hours(value, name):
    if value:
        hours = __import__("scanner.hours", None, None, ("parse",))  # on the heap only where there are any
        for i, text in enumerate(value):
            try:
                hours.parse(text)
            except (ValueError, AttributeError):
                raise ConfigError("%s[%d]: like 07:30-17:00, or 1-5 07:30-17:00 for Monday to Friday" % (name, i))


def _check(member, value, schema, name):
    """Check one setting, `name` in full; raises ConfigError."""
    _need(member in schema, name, "not a setting")
    rule = schema[member]
    default = rule[0]
    if isinstance(default, bool):
        _need(isinstance(value, bool), name, "true or false")
    elif isinstance(default, int):
        whole = isinstance(value, int) and not isinstance(value, bool)
        _need(whole and rule[1] <= value <= rule[2], name, "a whole number, %d to %d" % rule[1:])
    elif isinstance(default, str):
        _need(value in rule, name, "one of " + ", ".join([str(word) for word in rule]))
    elif isinstance(default, bytes):
        _need(isinstance(value, str) and len(value.encode()) <= 32, name, "a text of at most 32 bytes")
    elif isinstance(default, dict):
        _need(isinstance(value, dict), name, "an object")
        for inner in value:
            _check(inner, value[inner], rule[1], name + "." + inner)
    else:
        _need(isinstance(value, list) and len(value) <= 8, name, "a list of at most 8")
        if name == "wifi":
            _networks(value, name)
        elif name == "hours" or name == "quiet_hours":
            _hours(value, name)
        else:
            words = rule[1:] or default
            for i, word in enumerate(value):
                _need(word in words, "%s[%d]" % (name, i), "one of " + ", ".join([str(word) for word in words]))


def parse(text):
    """The Config of a JSON text; raises ConfigError."""
    try:
        members = json.loads(text)
    except (ValueError, RuntimeError, MemoryError):  # RuntimeError: nested too deep
        raise ConfigError("config: not JSON")
    _need(isinstance(members, dict), "config", "an object")
    for name in members:
        _check(name, members[name], _SCHEMA, name)
    alone = members.get("exit_scanner", "none") == "none"
    _need(not (alone and members.get("most_inside")), "most_inside", "needs an exit_scanner")
    _need(members.get("links", True), "links", "empty")
    return Config(members)


def _read(path):
    """The text of a file, "" where there is none."""
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeError, MemoryError):
        return ""


def load(crashed=False):
    """(config in force, new, problem): `new` is its text when it is another than the last good one, for keep() once the board
    serves with it; `problem` is one line when config.json was refused. `crashed`: the boot before this one came to nothing.
    """
    text = _read("config.json")
    good = _read(_GOOD)
    try:
        config = parse(text)
        _need(not (crashed and good and text != good), "config", "the board does not start with it")
    except ConfigError as error:
        try:
            return parse(good), None, str(error)
        except ConfigError:
            return Config({}), None, str(error)
    return config, None if text == good else text, None


def keep(text):
    """Keep a config as the last good one: written aside and renamed, so a power cut leaves one or the other."""
    try:
        with open(_NEW, "w") as file:
            file.write(text)
        os.rename(_NEW, _GOOD)
    except OSError:
        pass  # a full disk: this config holds, and is new again at the next boot
