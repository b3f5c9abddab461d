"""``kb``: runs a command; what goes wrong becomes one line on stderr and an exit code."""

from __future__ import annotations

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
    options = make_parser().parse_args(argv)
    try:
        code = run(options)
        # Here, and not when Python ends: nobody may read any more.
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("\nkb: stopped")
        return exits.INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "rich":
            raise
        say("kb: rich is not installed: pip install 'knowledge-base-client[cli]'")
        return exits.FAILED
    except (errors.KnowledgeBaseError, Said, OSError) as exc:
        say(f"kb: {words_of(exc)}")
        return code_of(exc)
    return code


def _nobody_reads() -> int:
    """Python would complain once more when it flushes stdout at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.NOBODY_READS
