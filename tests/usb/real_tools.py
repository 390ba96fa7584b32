"""The real tools, run as a technician runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MAC = bytes.fromhex("24a160112233")


def tool(name: str, *arguments: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run an unmodified tool of the environment's."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
