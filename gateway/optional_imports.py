"""Packages (and modules) kept out of a process that has no use for them."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection


@contextmanager
def hidden_packages(*names: str) -> Iterator[None]:
    """Makes imports of these packages fail as if they were not installed, for the ``with`` block.

    One that is loaded already stays. What is installed beside the gateway (for development, say)
    then costs a worker no memory.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what makes `import` fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def apart(function: Callable[[], str]) -> str:
    """What ``function`` gives, called in a fork of this process: what it imports stays there.

    Raises ``RuntimeError`` for whatever it raises. A process with several threads cannot be forked
    safely (one of them may hold a lock); there ``function`` is called here.
    """
    if threading.active_count() > 1:
        return function()
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=_answer, args=(function, there), daemon=True)
    child.start()
    there.close()
    try:
        fault, text = here.recv()
    except EOFError:
        fault, text = True, "the child process ended without an answer"
    finally:
        here.close()
        child.join()
    if fault:
        raise RuntimeError(text)
    return str(text)


def _answer(function: Callable[[], str], to: Connection) -> None:
    try:
        to.send((False, function()))
    except Exception as exc:
        to.send((True, f"{type(exc).__name__}: {exc}"))
