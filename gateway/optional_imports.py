"""Packages (and modules) that others import where they are installed, kept out where unneeded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
