"""Makes the golden image and the list of what is in it. Run it only when the version of the format changes.

.venv/bin/python -m tests.formats.golden.make
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from host_tools.formats import records
from tests.device.conftest import HEAP, ROOT, TIMEOUT_S, micropython
from tests.device.conftest import HERE as DEVICE_TESTS

HERE = Path(__file__).resolve().parent
IMAGE = HERE / "journal-v1.txt"
EXPECTED = HERE / "journal-v1.json"


def lived() -> tuple[str, str]:
    """The text form of the image and the JSON of what is in it, as the firmware makes them today."""
    firmware = os.environ.get("CHOT_FIRMWARE", str(ROOT / "firmware"))
    code = f"import sys\nsys.path[:] = [{firmware!r}, {str(DEVICE_TESTS)!r}, '.frozen']\nimport golden\ngolden.main()\n"
    command = [*micropython(), "-X", f"heapsize={HEAP}", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    image, found = done.stdout.split("--\n")
    return image, _laid_out(json.loads(found))


def _laid_out(found: dict[str, Any]) -> str:
    """JSON with a line for each record, which also says what the record means (null: it is kept raw)."""
    for record in found["records"]:
        record["says"] = records.decode(bytes.fromhex(record["plaintext"]))
    members = []
    for name, value in sorted(found.items()):
        if name in ("records", "broken"):
            lines = ",\n".join(f"  {json.dumps(entry, sort_keys=True, ensure_ascii=False)}" for entry in value)
            members.append(f' "{name}": [\n{lines}\n ]')
        else:
            members.append(f' "{name}": {json.dumps(value, sort_keys=True)}')
    return "{\n" + ",\n".join(members) + "\n}\n"


if __name__ == "__main__":
    for path, text in zip((IMAGE, EXPECTED), lived(), strict=True):
        path.write_text(text, encoding="utf-8")
