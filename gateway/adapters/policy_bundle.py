"""The policy as an OPA bundle: one ``.tar.gz`` with the compiled rules, their data and a revision.

Two places give one: the file that comes with the gateway (``DEFAULT_BUNDLE``), and a directory of
the operator's own, with a ``bundle.tar.gz`` or with Rego, which is compiled by the ``opa`` program.
The format: https://www.openpolicyagent.org/docs/management-bundles (``opa build -t wasm``).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from gateway.domain.policy import canonical
from gateway.errors import PolicyBroken

ENTRY_POINT: Final = "gateway/authz"
BUNDLE_NAME: Final = "bundle.tar.gz"
DEFAULT_BUNDLE: Final = Path(__file__).with_name("default_policy.tar.gz")
# Run in the policy's own folder, so that the paths in the bundle, and with them its bytes, do not
# depend on where the folder is. A file that Kubernetes mounts is a link into a folder "..2026…".
BUILD: Final = (
    *("build", "-t", "wasm", "-e", ENTRY_POINT, "-b", "--follow-symlinks"),
    *("--ignore", "golden", "--ignore", "*_test.rego", "--ignore", "..*", "--ignore", "*.tar.gz"),
)

# Of what a bundle unpacks to. The gateway's own is 0.3 MiB; a larger one is no policy.
_UNPACKED_LIMIT_BYTES = 128 * 1024 * 1024
_BUILD_LIMIT_S = 60.0


class NoCompiler(ValueError):
    """There is Rego and no ``opa`` to compile it."""


@dataclass(frozen=True)
class Bundle:
    """A compiled policy.

    Attributes:
        wasm: OPA's module, whose ABI is 1.2 or newer.
        data: the document ``data`` as JSON text.
        named: the revision in the manifest; empty when it was built without one.
    """

    wasm: bytes
    data: bytes
    named: str

    @cached_property
    def revision(self) -> str:
        """As named, else a SHA-256 (hex) over rules and data: the same ones have the same."""
        return self.named or hashlib.sha256(self.wasm + b"\0" + self.data).hexdigest()


def policy_files() -> Path:
    """The default policy as Rego, for an OPA server: in the wheel, or in a checkout's ``opa/``."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "policy_files"
    return installed if installed.is_dir() else package.parent / "opa"


def load(policy_dir: Path | None) -> Bundle:
    """The bundle in ``policy_dir``, or compiled from its Rego; without one, the default policy.

    Blocks while ``opa`` compiles, some 50 ms. Raises ``PolicyBroken``, whose cause says what is
    wrong.
    """
    return opened(read(policy_dir))


def read(policy_dir: Path | None) -> bytes:
    """The bundle's bytes, as ``load`` finds them. Raises ``PolicyBroken``."""
    try:
        return _bytes_of(policy_dir)
    except (OSError, ValueError) as exc:
        raise PolicyBroken from exc


def opened(content: bytes) -> Bundle:
    """What is in a bundle. Raises ``PolicyBroken``."""
    try:
        return parse(content)
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error, RecursionError) as exc:
        raise PolicyBroken from exc


def _bytes_of(policy_dir: Path | None) -> bytes:
    if policy_dir is None:
        return DEFAULT_BUNDLE.read_bytes()
    bundle, has_rego = policy_dir / BUNDLE_NAME, any(policy_dir.rglob("*.rego"))
    if bundle.exists() and has_rego:
        raise ValueError(f"{policy_dir} holds both Rego and a {BUNDLE_NAME}: keep one of them")
    if bundle.exists():
        return bundle.read_bytes()
    if has_rego:
        return build(policy_dir)
    raise ValueError(f"{policy_dir} holds neither a {BUNDLE_NAME} nor Rego")


def find_opa() -> Path | None:
    """The ``opa`` program beside the interpreter or on PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("opa", path=beside) or shutil.which("opa")
    return None if found is None else Path(found).absolute()


def build(policy_dir: Path) -> bytes:
    """The bundle that ``opa`` makes of the Rego and data in ``policy_dir``.

    Raises ``ValueError`` with OPA's words, or with the command to run where there is no ``opa``.
    """
    opa = find_opa()
    if opa is None:
        command = " ".join(f"'{word}'" if "*" in word else word for word in BUILD)
        raise NoCompiler(
            f"{policy_dir} holds Rego, and there is no `opa` on PATH to compile it. Where there is"
            f" one, run `opa {command} -o {BUNDLE_NAME} .` in that folder, and put the"
            f" {BUNDLE_NAME} in the Rego's place"
        )
    return build_with(opa, policy_dir)


def build_with(opa: Path, policy_dir: Path, *arguments: str) -> bytes:
    """``build`` with a certain program, and with further arguments (``-r``, a revision)."""
    try:
        done = subprocess.run(
            [opa, *BUILD, *arguments, "-o", "/dev/stdout", "."],
            cwd=policy_dir,
            # The gateway's secrets are in its environment, and OPA needs nothing of it.
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_BUILD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ValueError(f"`opa build` took longer than {_BUILD_LIMIT_S:.0f} s") from exc
    if done.returncode != 0:
        words = (done.stderr + done.stdout).decode(errors="replace").strip()
        raise ValueError(f"`opa build` refuses the policy: {words}")
    return done.stdout


def parse(content: bytes) -> Bundle:
    """Reads a bundle. Raises ``ValueError`` and others for what is none; see ``opened``."""
    files = _unpacked(content)
    manifest = _object(files, ".manifest")
    wasm = files.get(_module_name(manifest))
    if wasm is None:
        raise ValueError("no compiled policy in the bundle: build it with `opa build -t wasm`")
    data = canonical(_object(files, "data.json"))
    if data is None:
        raise ValueError("data.json cannot be written as JSON")
    named = manifest.get("revision", "")
    return Bundle(wasm, data, named if isinstance(named, str) else "")


def _unpacked(content: bytes) -> dict[str, bytes]:
    """The files by their path in the bundle, whatever it begins with."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        plain = stream.read(_UNPACKED_LIMIT_BYTES + 1)
    if len(plain) > _UNPACKED_LIMIT_BYTES:
        raise ValueError(f"the bundle unpacks to more than {_UNPACKED_LIMIT_BYTES >> 20} MiB")
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
        for member in archive:
            # A link may lead nowhere, and a sparse file unpack to more than the limit.
            if member.isreg() and not member.issparse():
                file = archive.extractfile(member)
                assert file is not None
                files[_spelled(member.name)] = file.read()
    return files


def _spelled(name: str) -> str:
    return name.removeprefix(".").lstrip("/") if name.startswith(("./", "/")) else name


def _object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    document = json.loads(files.get(name, b"{}"))
    if not isinstance(document, dict):
        raise ValueError(f"{name} is no JSON object")
    return document


def _module_name(manifest: Mapping[str, Any]) -> str:
    """The file that answers for ``ENTRY_POINT``; a bundle may hold several."""
    modules = manifest.get("wasm")
    for one in modules if isinstance(modules, list) else []:
        if isinstance(one, dict) and one.get("entrypoint") == ENTRY_POINT:
            return _spelled(str(one.get("module")))
    return "policy.wasm"
