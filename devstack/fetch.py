"""``python -m devstack.fetch [NAME…]``: builds real components with Go, into our cache.

The programs and their versions are pinned in ``tools/go.mod``, which is installed beside this file.
What is found already, beside the interpreter or on PATH, is left alone; in the cache a program of
another version than the pinned one is built again. Needs nothing but Python and Go.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from devstack.components import cache_dir, find_program, go_module_version
from devstack.processes import Child, StartFailed

PINS = Path(__file__).with_name("go.mod")
# What the demo and the system tests' components need; the rest of the pins is for fault tests.
DEMO_NEEDS = ("opa", "versitygw")

BUILD_LIMIT_S = 20 * 60
_PROGRESS_S = 10.0

_REQUIRE = re.compile(
    r"^\s*(?:require\s+)?(?P<module>[\w./~-]+\.[\w./~-]+)\s+(?P<version>v[\w.+-]+)"
    r"\s+//\s*(?P<package>\S+)\s+as\s+(?P<program>[\w-]+)\s*$"
)


class FetchFailed(Exception):
    """A program could not be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A program to build: ``go install package@version``, kept as ``program``."""

    program: str
    package: str
    version: str


def parse_pins(text: str) -> list[Pin]:
    """The pins of a go.mod: its requirements whose comment reads ``PACKAGE as PROGRAM``."""
    matches = (_REQUIRE.match(line) for line in text.splitlines())
    return [Pin(m["program"], m["package"], m["version"]) for m in matches if m is not None]


def pins() -> list[Pin]:
    return parse_pins(PINS.read_text("utf-8"))


def missing(wanted: Iterable[Pin]) -> list[Pin]:
    """The pins that are not found, or are in our cache at another version."""
    return [pin for pin in wanted if not _present(pin)]


def _present(pin: Pin) -> bool:
    found = find_program(pin.program)
    if found is None:
        return False
    if found.parent != cache_dir():
        return True
    return go_module_version(found) == pin.version.removeprefix("v")


async def fetch(wanted: Iterable[Pin], say: Callable[[str], None]) -> None:
    """Builds ``wanted`` one after the other (Go uses all CPU cores for each).

    Raises:
        FetchFailed: there is no Go, or a build failed or took too long.
    """
    go = shutil.which("go")
    if go is None:
        raise FetchFailed(
            "There is no `go` on PATH. Install Go (https://go.dev/dl) and try again, or go without:"
            " the demo runs with its embedded substitutes."
        )
    for pin in wanted:
        await _build(go, pin, say)


async def _build(go: str, pin: Pin, say: Callable[[str], None]) -> None:
    target = cache_dir()
    target.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    say(f"{pin.program} {pin.version}: go install {pin.package}@{pin.version}")
    # On the same file system as the target, so that moving it there is atomic.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target) as folder:
        env = {**os.environ, "GOBIN": folder, "CGO_ENABLED": "0"}
        command = [go, "install", "-v", f"{pin.package}@{pin.version}"]
        child = Child(pin.program, command, env=env, cwd=Path(folder))
        await _run(child, lambda: _progress(pin, child, began), say)
        _keep(Path(folder), target / pin.program)
    say(f"{pin.program} {pin.version}: built in {time.monotonic() - began:.0f} s")


def _keep(folder: Path, target: Path) -> None:
    """Moves the one program that was built to its place, under the name we look for."""
    built = list(folder.iterdir())
    if len(built) != 1:
        raise FetchFailed(f"{target.name}: go install left {len(built)} programs, not one")
    os.replace(built[0], target)


async def _run(child: Child, progress: Callable[[], str], say: Callable[[str], None]) -> None:
    try:
        async with asyncio.timeout(BUILD_LIMIT_S):
            await child.start()
            code = await _wait(child, progress, say)
    except TimeoutError as exc:
        raise FetchFailed(f"{child.name}: not built in {BUILD_LIMIT_S // 60} minutes") from exc
    except StartFailed as exc:
        raise FetchFailed(str(exc)) from exc
    finally:
        await child.stop()
    if code != 0:
        raise FetchFailed(
            f"{child.name}: go install ended with {code}; its last lines:\n{child.last_output()}"
        )


async def _wait(
    child: Child, progress: Callable[[], str], say: Callable[[str], None]
) -> int | None:
    while True:
        try:
            async with asyncio.timeout(_PROGRESS_S):
                return await child.wait()
        except TimeoutError:
            say(progress())


def _progress(pin: Pin, child: Child, began: float) -> str:
    seconds = time.monotonic() - began
    latest = child.output[-1] if child.output else "downloading"
    return f"{pin.program}: {seconds:.0f} s, {child.lines_read} packages, now {latest}"


def main(argv: list[str] | None = None) -> int:
    """Builds what is named, or all pins, unless it is there. 0 when all of it is there at the end.

    ``argv`` are the arguments without the program's name.
    """
    known = {pin.program: pin for pin in pins()}
    parser = argparse.ArgumentParser(prog="python -m devstack.fetch", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args(argv).names
    if strangers := set(names) - known.keys():
        parser.error(f"unknown: {', '.join(sorted(strangers))}; known: {', '.join(known)}")
    wanted = [known[name] for name in names] or list(known.values())
    absent = missing(wanted)
    for pin in wanted:
        if pin not in absent:
            print(f"{pin.program}: {find_program(pin.program)}", flush=True)
    try:
        if absent:
            asyncio.run(fetch(absent, lambda line: print(line, flush=True)))
    except FetchFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
