"""``gateway init``: a ``.env`` with secrets for one machine, and in words what is still missing.

What the environment says already is taken over; addresses are asked for at a terminal and are the
usual ones elsewhere. Secrets are made here and shown nowhere but in the file, which its owner alone
may read.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from gateway.commands import init_next
from gateway.commands.init_file import ADDRESSES, Refused, checked, chosen, contents
from gateway.commands.sources import OWN_FILE

OK, FAULT = 0, 1
Environ = Mapping[str, str]
Ask = Callable[[str], str]


def register(subparsers: Any, environ: Environ) -> None:
    """Adds ``init`` to the subparsers of ``gateway``; its handler returns the exit code."""
    summary = "write a .env with secrets for this machine, and say what is still missing"
    parser = subparsers.add_parser(
        "init",
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=dedent("""\
            Settings that the environment has are written into the file as they are. At a terminal
            the addresses are asked for; elsewhere those of this machine are taken.

            examples:
              gateway init
              gateway init && gateway check
              GATEWAY_SERVICES_CORE=http://core:8100 gateway init --file core.env < /dev/null"""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--file", type=Path, default=OWN_FILE, metavar="FILE", help="what to write (default: .env)"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a file that is there: its secrets are gone, and with them every session",
    )
    parser.set_defaults(handler=lambda parsed: _run(parsed, environ))


def _run(parsed: argparse.Namespace, environ: Environ) -> int:
    path: Path = parsed.file
    try:
        _refuse_to_replace(path, parsed.force)
        answers = _asked(environ, input) if _is_terminal() else {}
        settings = chosen({**environ, **answers})
        write(path, contents(settings), parsed.force)
    except Refused as problem:
        print(f"gateway init: {problem}", file=sys.stderr)
        return FAULT
    except EOFError:
        print("\ngateway init: nothing was written", file=sys.stderr)
        return FAULT
    print("\n".join(init_next.lines(path, settings)))
    return OK


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _asked(environ: Environ, ask: Ask) -> dict[str, str]:
    """The addresses that the environment does not give, by setting."""
    print("Return takes what is in brackets.")
    return {
        name: _one_asked(name, what, usual, ask)
        for name, what, usual in ADDRESSES
        if not environ.get(name)
    }


def _one_asked(name: str, what: str, usual: str, ask: Ask) -> str:
    while True:
        answer = ask(f"{what} [{usual}]: ").strip() or usual
        try:
            return checked(name, answer)
        except Refused as problem:
            print(f"  {problem}")


def _refuse_to_replace(path: Path, force: bool) -> None:
    """Before anything is asked. ``write`` has the last word."""
    if not force and (path.exists() or path.is_symlink()):
        raise _is_there(path)


def _is_there(path: Path) -> Refused:
    return Refused(
        f"{path} is there already and stays as it is; 'gateway check' looks at it, --force"
        " replaces it and its secrets"
    )


def write(path: Path, content: bytes, force: bool) -> None:
    """Puts the file there whole or not at all, readable by its owner from its first byte on.

    Raises:
        Refused: it is there already and is not to be replaced, or cannot be written.
    """
    try:
        (_replace if force else _create)(path, content)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as problem:
        raise Refused(f"{path} cannot be written: {problem.strerror}") from problem


def _create(path: Path, content: bytes) -> None:
    """Never over a file that somebody has put there meanwhile, nor through a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    _fill(descriptor, path, content)


def _replace(path: Path, content: bytes) -> None:
    # In the same folder, so that it can take the old one's place in one step; its mode is 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=".env-", dir=path.parent)
    _fill(descriptor, Path(temporary), content)
    os.replace(temporary, path)


def _fill(descriptor: int, path: Path, content: bytes) -> None:
    """Half of the secrets are none: on a full disk nothing stays."""
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
    except BaseException:
        path.unlink()
        raise
