"""The console's files: one digest over all of them, and each of them once somebody asks for it.

The digest stands in every address, so that a browser keeps a file for good and a release has other
addresses. Nothing is held before the first visit but the names.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Final

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DIGEST_LETTERS: Final = 16
# `import … from "./x.js"`, `import "./x.js"` and `export … from "./x.js"`, which load at once.
_IMPORT: Final = re.compile(r"""^(?:import|export|\})[^;"']*["'](\.[^"']+)["'];?$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file's bytes, as they are and compressed."""

    content_type: str
    plain: bytes
    compressed: bytes


class Assets:
    """The files below a folder, by their paths in it.

    ``digest`` is that of the files as they are when this is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.suffix in CONTENT_TYPES
        }
        self._read: dict[str, Asset] = {}
        self.digest = self._digest()

    def _digest(self) -> str:
        found = sha256()
        for name, path in self._paths.items():
            content = path.read_bytes()
            found.update(f"{name}\n{len(content)}\n".encode())
            found.update(content)
        return found.hexdigest()[:DIGEST_LETTERS]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._paths)

    def needed_by(self, *names: str) -> tuple[str, ...]:
        """These scripts, and all that they import at once, in the order of their first mention."""
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name in found or name not in self._paths:
                continue
            found[name] = None
            text = self._paths[name].read_text("utf-8")
            folder = PurePosixPath(name).parent
            waiting += [normpath(folder / path) for path in _IMPORT.findall(text)]
        return tuple(found)

    def get(self, name: str) -> Asset | None:
        """``None`` where there is no such file; only names of the listing are looked for."""
        if name in self._paths and name not in self._read:
            self._read[name] = _asset(self._paths[name])
        return self._read.get(name)


def _asset(path: Path) -> Asset:
    plain = path.read_bytes()
    return Asset(CONTENT_TYPES[path.suffix], plain, gzip.compress(plain, 9, mtime=0))
