"""``python -m gateway.settings docs``, in a checkout: writes what is made from the settings."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.settings.generated import COMMAND, write
from gateway.settings.model import SPECS


def main(arguments: list[str]) -> int:
    if arguments != ["docs"]:
        print(f"usage: {COMMAND}", file=sys.stderr)
        return 2
    for path in write(SPECS, Path.cwd()):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
