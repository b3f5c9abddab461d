"""The zip that a Word document is, unpacked under limits before any library sees it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from devstack.core.reading.faults import Unreadable

UNPACKED_LIMIT_BYTES = 200 * 1024 * 1024
# Office XML packs about 10:1; a bomb packs 1000:1. Small parts may be anything.
PACKING_LIMIT = 200
PACKING_FREE_BYTES = 1024 * 1024
PARTS_LIMIT = 5_000

_CONTENT_TYPES = "[Content_Types].xml"
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError)


def unpacked(path: Path) -> dict[str, bytes]:
    """The parts of a Word document by name; those that hold no text are empty.

    Raises:
        Unreadable: it is damaged, something else, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            infos = packed.infolist()
            _check_directory(infos)
            return _parts(packed, infos)
    except _DAMAGED as fault:
        raise Unreadable("The Word document is damaged or encrypted and cannot be read.") from fault


def _check_directory(infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > PARTS_LIMIT or sum(info.file_size for info in infos) > UNPACKED_LIMIT_BYTES:
        raise _bomb()
    for info in infos:
        if info.file_size > PACKING_FREE_BYTES + PACKING_LIMIT * info.compress_size:
            raise _bomb()


def _parts(packed: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    """What comes out is counted: the sizes in a zip's directory are checked but not trusted."""
    parts: dict[str, bytes] = {}
    left = UNPACKED_LIMIT_BYTES
    for info in {info.filename: info for info in infos}.values():
        if not info.filename.endswith((".xml", ".rels")):
            # Pictures and embedded files stay as names, for relationships point to them.
            parts[info.filename] = b""
            continue
        limit = min(left, PACKING_FREE_BYTES + PACKING_LIMIT * info.compress_size)
        with packed.open(info) as part:
            data = part.read(limit + 1)
        if len(data) > limit:
            raise _bomb()
        left -= len(data)
        parts[info.filename] = data
    return parts


def _bomb() -> Unreadable:
    limit = UNPACKED_LIMIT_BYTES // (1024 * 1024)
    return Unreadable(
        "The Word document unpacks to far more than its size (a limit is"
        f" {limit} MiB), as an archive bomb does. It was not read."
    )
