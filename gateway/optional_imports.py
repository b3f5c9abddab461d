"""Packages that others import where they are installed, kept out where nobody needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden_packages(*names: str) -> Iterator[None]:
    """Inside, an import of these packages fails as if they were not there; unless they are loaded.

    What is installed beside the gateway (for development, say) then costs a worker no memory.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what makes `import` fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
