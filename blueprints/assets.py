"""Files of pages: one digest over all of them, and each of them once somebody asks for it.

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

from sanic import Request
from sanic.response import HTTPResponse

from gateway.edge.http.compress import accepts_gzip
from gateway.edge.http.cors import add_vary
from gateway.errors import NotFound

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DIGEST_LETTERS: Final = 16
# One digest stands in every address, so that a file at its address never changes.
FOR_GOOD: Final = "public, max-age=31536000, immutable"
# A worker of a page's (it computes digests of files) has the policy of its own script.
SCRIPT_POLICY: Final = "default-src 'none'; script-src 'self'; frame-ancestors 'none'"
# `import … from "./x.js"`, `import "./x.js"` and `export … from "./x.js"`, which load at once.
_IMPORT: Final = re.compile(r"""^(?:import|export|\})[^;"']*["'](\.[^"']+)["'];?$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file's bytes, as they are and compressed."""

    content_type: str
    plain: bytes
    compressed: bytes


class Assets:
    """The files below a folder, by their paths in it; with ``only``, these and what they import.

    ``digest`` is that of the files as they are when this is made.
    """

    def __init__(self, folder: Path, only: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._paths = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.suffix in CONTENT_TYPES
        }
        if only:
            self._paths = {name: self._paths[name] for name in self.needed_by(*only)}
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


def answered(request: Request, assets: Assets, path: str) -> HTTPResponse:
    """A file by its digest and its name.

    Another digest is another replica's, during a roll-out: its page gets this file, and keeps it
    for this once.

    Raises:
        NotFound: there is no such file.
    """
    digest, _, name = path.partition("/")
    found = assets.get(name)
    if found is None:
        raise NotFound
    response = _response(request, found)
    if digest == assets.digest:
        response.headers["Cache-Control"] = FOR_GOOD
    return response


def _response(request: Request, found: Asset) -> HTTPResponse:
    headers = {"Content-Security-Policy": SCRIPT_POLICY}
    body = found.plain
    if accepts_gzip(",".join(request.headers.getall("accept-encoding", []))):
        body, headers["Content-Encoding"] = found.compressed, "gzip"
    response = HTTPResponse(body, content_type=found.content_type, headers=headers)
    add_vary(response, "Accept-Encoding")
    return response
