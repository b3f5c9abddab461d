"""``kb``: runs a command; what goes wrong becomes one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from knowledge_base import errors
from knowledge_base.cli import exits
from knowledge_base.cli.exits import Said, code_of, words_of
from knowledge_base.cli.output import say
from knowledge_base.cli.parser import make_parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code (``exits.TABLE``)."""
    _open_streams()
    options = make_parser().parse_args(argv)
    try:
        code = run(options)
        # Here, and not when Python ends: nobody may read any more.
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("\nkb: stopped")
        return exits.INTERRUPTED
    except BrokenPipeError:
        return exits.NOBODY_READS
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "rich":
            raise
        say("kb: rich is not installed: pip install 'knowledge-base-client[cli]'")
        return exits.FAILED
    except (errors.KnowledgeBaseError, Said, OSError) as exc:
        say(f"kb: {words_of(exc)}")
        return code_of(exc)
    finally:
        _drop_what_nobody_takes()
    return code


def entry() -> None:
    """The program itself. Stopped by Ctrl-C it ends at once, whatever its threads wait for."""
    code = main()
    if code == exits.INTERRUPTED:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _drop_what_nobody_takes() -> None:
    """Python would fail once more, in words and a code of its own, when it flushes at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """Those that were closed before us lead nowhere; what one cannot spell is escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
