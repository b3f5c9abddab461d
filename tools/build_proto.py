"""``python -m tools.build_proto``: lints ``proto/`` and writes the Python code that is made of it.

``buf`` (pinned in ``tools/go.mod``) lints, and finds what would break those who use an older
version: ``proto/released.json`` is the protos of the last release, as buf reads them. With
``--release`` they are the present ones from now on. The code is made by the ``grpcio-tools`` that
``setup.py`` pins, so that everybody gets the same bytes, and is committed: installing the gateway
needs neither. A test makes it again and compares.

A further package of protos is one more ``Target``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.components import find_program

CHECKOUT = Path(__file__).parents[1]
PROTO = CHECKOUT / "proto"
RELEASED = PROTO / "released.json"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the code of one package of protos goes.

    Attributes:
        package: the protos' folder below ``proto/``.
        folder: the Python package, below the checkout, that holds the code.
    """

    package: str
    folder: str

    @property
    def protos(self) -> list[str]:
        """Their names as protos import one another."""
        found = (PROTO / self.package).glob("*.proto")
        return sorted(path.relative_to(PROTO).as_posix() for path in found)


TARGETS = (
    Target("knowledge/core/v1", "gateway/adapters/core_proto"),
    Target("knowledge/gateway/v1", "gateway/edge/grpc/proto"),
)


class BuildFailed(Exception):
    """A program said no; the message is what it said."""


def generate(target: Target) -> dict[str, str]:
    """The code of a target: names of files in its folder, and their content.

    Only messages: a service is a handful of names, and who calls or serves it hands over bytes.

    Raises:
        BuildFailed: the compiler refused.
    """
    with tempfile.TemporaryDirectory() as place:
        # -m: the compiler is a Python package; its own protos (google/protobuf) come with it.
        made = [f"--python_out={place}", f"--pyi_out={place}"]
        _run([sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *made, *target.protos])
        files = sorted((Path(place) / target.package).iterdir())
        return {path.name: _in_our_package(path.read_text("utf-8"), target) for path in files}


def _in_our_package(code: str, target: Target) -> str:
    """The compiler imports by the protos' folders; the code lies in a package of ours."""
    for one in TARGETS:
        theirs, ours = (name.replace("/", ".") for name in (one.package, one.folder))
        code = re.sub(rf"^from {re.escape(theirs)} import", f"from {ours} import", code, flags=re.M)
    return code


def write(target: Target) -> list[Path]:
    """Writes the code of a target; removes what is made of no proto any more."""
    folder = CHECKOUT / target.folder
    made = {folder / name: code for name, code in generate(target).items()}
    for path in folder.glob("*_pb2*"):
        if path not in made and path.is_file():
            path.unlink()
    for path, code in made.items():
        path.write_text(code, "utf-8")
    return sorted(made)


def lint() -> None:
    """Raises ``BuildFailed`` for protos that are not as ``buf.yaml`` wants them."""
    buf("lint")


def compare(checkout: Path = CHECKOUT, released: Path = RELEASED) -> None:
    """Raises ``BuildFailed`` where the protos break who uses those of the last release."""
    buf("breaking", "--against", str(released), checkout=checkout)


def release() -> None:
    """Takes the protos for those of a release."""
    buf("build", "--exclude-source-info", "-o", str(RELEASED))
    # On many lines, so that a change of it can be read.
    RELEASED.write_text(
        json.dumps(json.loads(RELEASED.read_text("utf-8")), indent=1) + "\n", "utf-8"
    )


def buf(*arguments: str, checkout: Path = CHECKOUT) -> None:
    """Raises ``BuildFailed`` with what it said, or where there is no ``buf``."""
    program = find_program("buf")
    if program is None:
        raise BuildFailed("buf is needed; `python -m devstack.fetch buf` builds it.")
    _run([str(program), *arguments], checkout)


def _run(command: Sequence[str], folder: Path = CHECKOUT) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"{done.stdout}{done.stderr}".strip())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.build_proto", description=__doc__)
    parser.add_argument("--release", action="store_true", help="renew proto/released.json, too")
    options = parser.parse_args(argv)
    try:
        lint()
        if options.release:
            release()
        compare()
        for target in TARGETS:
            for path in write(target):
                print(f"written: {path.relative_to(CHECKOUT)}")
    except BuildFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
