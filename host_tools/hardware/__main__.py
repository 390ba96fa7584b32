"""`python -m host_tools.hardware`: writes what hardware/ and docs/ hold as made: wiring, parts, power, enclosure, mounting."""

from __future__ import annotations

import argparse
import sys

from host_tools.hardware.catalogue import HARDWARE_DIR
from host_tools.hardware.made import light, made_from_solids, made_from_wireviz


def main() -> int:
    """Write every made file; `--light` only those that need no package of requirements-hardware.txt."""
    parser = argparse.ArgumentParser(prog="python -m host_tools.hardware", description=__doc__)
    parser.add_argument("--light", action="store_true", help="only what needs no package of requirements-hardware.txt")
    args = parser.parse_args()
    made = [light()] if args.light else [light(), made_from_wireviz(), made_from_solids()]
    for files in made:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
            print(path.relative_to(HARDWARE_DIR.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
