"""The process that opens one uploaded file: ``python -m devstack.core.reading.child IN OUT TYPE``.

It sets limits on itself before it looks at the file, has no secrets in its environment, and ends
when its parent does (stdin reaches its end). OUT becomes lines of JSON: ``{"warnings": […]}`` and
then each block, or ``{"error": message}`` alone. Its stdout says how much is read, in lines like
``0.42``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from devstack.core.reading import progress
from devstack.core.reading.blocks import to_json
from devstack.core.reading.faults import (
    CPU_LIMIT_S,
    MEMORY_LIMIT_BYTES,
    Unreadable,
    nested_too_deeply,
)
from devstack.core.reading.formats import read_document

NICENESS = 10
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


def _read(source: Path, content_type: str) -> Iterator[dict[str, object]]:
    try:
        document = read_document(source, content_type)
    except Unreadable as fault:
        yield {"error": str(fault)}
    except RecursionError:
        yield {"error": str(nested_too_deeply())}
    except MemoryError:
        yield {"error": OUT_OF_MEMORY}
    else:
        yield {"warnings": list(document.warnings)}
        yield from map(to_json, document.blocks)


def main() -> None:
    """Read one file under limits and leave the result where the parent looks for it."""
    source, target, content_type = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    _set_limits()
    # Questions are answered on the same machine, and somebody waits for each of them.
    os.nice(NICENESS)
    progress.passed_to(lambda share: print(f"{share:.2f}", flush=True))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with target.open("w", encoding="ascii") as out:
        for line in _read(source, content_type):
            out.write(json.dumps(line) + "\n")
    sys.stderr.flush()
    # Skips exit handlers, so that nothing a hostile file left in memory runs.
    os._exit(0)


if __name__ == "__main__":
    main()
