"""A board's settings over its console: read, changed under a higher version, checked by the firmware's own schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from host_tools.build.image import CONFIG_PATH, encode_config
from host_tools.build.settings import check_config
from host_tools.device.console import in_maintenance
from host_tools.device.flashing import FIRMWARE_DIR

HIDDEN = "********"


def changed(config: dict[str, Any], settings: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`config` with `settings` in it, under a version above that of `above`; UserError when the firmware would refuse it."""
    version = above.get("version", 0)
    new = {**config, **settings}
    if not isinstance(new.get("version"), int) or new["version"] <= version:
        new["version"] = version + 1
    check_config(FIRMWARE_DIR, new)
    return new


def get(port: str) -> dict[str, Any]:
    """The settings on a board."""
    with in_maintenance(port) as console:
        return console.config()


def put(port: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(old, new) settings after `change(old)` has been written; the board restarts with the new ones."""
    with in_maintenance(port) as console:
        old = console.config()
        new = change(old)
        console.write(CONFIG_PATH, encode_config(new))
    return old, new


def without_passwords(config: Any) -> Any:
    """The same with every password hidden."""
    if isinstance(config, dict):
        return {
            name: HIDDEN if "password" in name and isinstance(value, str) else without_passwords(value)
            for name, value in config.items()
        }
    if isinstance(config, list):
        return [without_passwords(item) for item in config]
    return config
