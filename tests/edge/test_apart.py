"""What is called apart is called in a child process, whose imports and faults stay its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.optional_imports import apart

CHECKOUT = Path(__file__).parents[2]
# With one thread, as the process that forks the workers has; tests run beside others.
SCRIPT = """
import os, sys
from gateway.optional_imports import apart

def by_whom():
    import colorsys
    return str(os.getpid())

assert apart(by_whom) != str(os.getpid())
assert "colorsys" not in sys.modules
FAULTS = ((lambda: 1 / 0, "ZeroDivisionError"), (lambda: os._exit(3), "without an answer"))
for fault, said in FAULTS:
    try:
        apart(fault)
    except RuntimeError as exc:
        assert said in str(exc), exc
    else:
        raise AssertionError(said)
"""


def test_imports_and_faults_stay_in_the_child() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_process_with_threads_is_not_forked() -> None:
    """Another thread may hold a lock that nobody in the child would ever release."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert apart(lambda: threading.current_thread().name) == threading.current_thread().name
        with pytest.raises(ZeroDivisionError):
            apart(lambda: str(1 // 0))
    finally:
        done.set()
        thread.join()


def test_pages_leave_no_templates_behind() -> None:
    """A worker needs neither sanic-ext nor Jinja to serve the page they made."""
    script = (
        f"import sys; from gateway import app; sys.path.append({str(CHECKOUT)!r});"
        "from tests.unit import valid_settings;"
        "app.create_app(valid_settings.load(), name='small');"
        "print([one for one in ('sanic_ext', 'jinja2', 'pydantic') if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
