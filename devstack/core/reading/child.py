"""The process that opens one uploaded file: ``python -m devstack.core.reading.child IN OUT TYPE``.

It sets limits on itself before it looks at the file, has no secrets in its environment, and ends
when its parent does (stdin reaches its end). OUT becomes JSON: ``{"pages": [[number, text], …]}``
or ``{"error": message}``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path

from devstack.core.reading.formats import Unreadable, read_pages

MEMORY_LIMIT_BYTES = 1536 * 1024 * 1024
CPU_LIMIT_S = 90
OUTPUT_LIMIT_BYTES = 256 * 1024 * 1024
OUT_OF_MEMORY = (
    f"The file needs more memory to read than is allowed ({MEMORY_LIMIT_BYTES // 1024**2} MiB)."
)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    wanted, (_, highest) = hard or soft, resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        wanted = min(wanted, highest)
    try:
        resource.setrlimit(kind, (min(soft, wanted), wanted))
    except (ValueError, OSError) as fault:
        # macOS refuses some of them; the parent's time limit still stands.
        print(f"limit {kind} not set: {fault}", file=sys.stderr)


def _set_limits() -> None:
    _limit(resource.RLIMIT_AS, MEMORY_LIMIT_BYTES)
    # The soft limit ends us with a signal of its own; the hard one would look like a kill from
    # outside, after which the parent tries again.
    _limit(resource.RLIMIT_CPU, CPU_LIMIT_S, CPU_LIMIT_S + 5)
    _limit(resource.RLIMIT_FSIZE, OUTPUT_LIMIT_BYTES)
    _limit(resource.RLIMIT_CORE, 0)


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(3)


def _read(source: Path, content_type: str) -> dict[str, object]:
    try:
        return {"pages": [[p.number, p.text] for p in read_pages(source, content_type)]}
    except Unreadable as fault:
        return {"error": str(fault)}
    except (MemoryError, RecursionError):
        return {"error": OUT_OF_MEMORY}


def main() -> None:
    """Read one file under limits and leave the result where the parent looks for it."""
    source, target, content_type = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    _set_limits()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = _read(source, content_type)
    target.write_text(json.dumps(result), encoding="ascii")
    sys.stderr.flush()
    # Skips exit handlers, so that nothing a hostile file left in memory runs.
    os._exit(0)


if __name__ == "__main__":
    main()
