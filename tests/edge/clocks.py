"""Processes whose clock is wrong, by Debian's ``faketime``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")


@contextlib.contextmanager
def clock_ahead(seconds: int) -> Iterator[None]:
    """What is started meanwhile, and what that starts, has a clock that is ahead by so much.

    Only the time of day: seconds that never go back are as they are.
    """
    if not seconds:
        yield
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LD_PRELOAD", _library())
        patched.setenv("FAKETIME", f"+{seconds}s")
        patched.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        yield


def _library() -> str:
    for folder in FOLDERS:
        for found in sorted(Path(folder).glob("**/faketime/libfaketime.so.1")):
            return str(found)
    missing = "libfaketime is missing: Debian and Ubuntu have it (apt-get install faketime)"
    if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
        pytest.fail(missing)
    pytest.skip(missing)
