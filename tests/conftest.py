"""For all tests: properties are tried alike everywhere, and processes share the work by files.

``pytest -n 2`` runs two processes (pytest-xdist). What a file's fixtures start is shared by its
tests, so a process is given whole files, and together those of one ``xdist_group``: they share a
stack, or an image.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Read when grpc is imported: its fork handlers can crash a program that a test starts while a
# thread of grpc is at work.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# The benchmarks are not part of the wheel, and the Python client has one of its own. Behind
# everything else, so that what was installed is what is tested.
CHECKOUT = Path(__file__).parents[1]
for folder in (CHECKOUT, CHECKOUT / "clients" / "python" / "src"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

# A shell's background job, `tox &` in a script say, ignores Ctrl-C, and so would what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Fresh examples are for fuzzing (GATEWAY_FUZZ_MINUTES), where somebody waits for what they find.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

# Where Rich is installed, structlog's own default is a traceback with all variables of all frames:
# up to a second for each exception that a test lets the code log. Colours are off, as they are by
# default where the output is no terminal: some tests read the lines.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.fixture
def opa_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway compiles Rego with the ``opa`` on PATH; ours may be in the development cache."""
    from tests.components import component

    program = component("opa").path
    assert program is not None
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


# Long files come first and the many short ones fill in, so that all processes end together.
LONG_FIRST = ("tests/system/", "tests/image/", "tests/edge/", "tests/contract/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    for rank, folder in enumerate(LONG_FIRST):
        if item.nodeid.startswith(folder):
            return rank
    return len(LONG_FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class GroupsAndFiles(LoadGroupScheduling):  # type: ignore[misc]
        """The group where a test names one; where it names none, its file instead of itself."""

        def _split_scope(self, nodeid: str) -> str:
            return str(super()._split_scope(nodeid)).partition("::")[0]

    return GroupsAndFiles(config, log)
