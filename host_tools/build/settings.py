"""Asks the firmware's own schema about a config before it goes into an image: there is only one, firmware/config.py."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

from host_tools.build.image import encode_config
from host_tools.errors import UserError
from host_tools.text import say

_SCHEMA = "config.py"


def check_config(firmware_dir: Path, config: Any) -> None:
    """UserError when the firmware of this tree would refuse `config` (it would go on with its defaults: no Wi-Fi).

    The schema is a pure module that runs here as on the board; a tree without one takes any config.
    """
    path = firmware_dir / _SCHEMA
    if not path.is_file():
        return
    schema = types.ModuleType("config")
    exec(compile(path.read_bytes(), f"firmware/{_SCHEMA}", "exec"), schema.__dict__)
    try:
        schema.parse(encode_config(config).decode())
    except schema.ConfigError as error:
        raise UserError(
            say(f"cấu hình: {error}", f"config: {error}"),
            hint=say("sửa mục ấy; bo mạch sẽ từ chối cấu hình này", "mend that member; the board would refuse this config"),
        ) from None
