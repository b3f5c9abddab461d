"""The cache of answers is there where it is wished for, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.settings import SettingsError
from tests.unit.valid_settings import REQUIRED, load

MODULES = (
    "gateway.flows.answer_cache",
    "gateway.domain.kept_answers",
    "gateway.domain.answer_keys",
)
SAYS = """
import sys
import gateway.app
from gateway.settings import Settings
from gateway.wiring import answers
answers.import_cache(Settings.load(dict(line.split("=", 1) for line in sys.argv[1:])))
print(*sorted(sys.modules))
"""


def imported(**more: str) -> set[str]:
    given = [f"{name}={text}" for name, text in {**REQUIRED, **more}.items()]
    done = subprocess.run(
        [sys.executable, "-c", SAYS, *given], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_what_is_switched_off_is_not_imported() -> None:
    """By default; switched on it is in memory before workers are forked."""
    assert not imported() & set(MODULES)
    assert set(MODULES) <= imported(GATEWAY_ANSWER_CACHE_TTL="1h")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANSWER_CACHE_TTL", "-1s"),
        ("ANSWER_CACHE_TTL", "8d"),
        ("ANSWER_CACHE_SIZE", "1KiB"),
        ("ANSWER_CACHE_ANSWER_LIMIT", "17MiB"),
    ],
    ids=["before now", "too long", "too little for one", "one that is longer than all"],
)
def test_what_cannot_be_is_refused_at_the_start(name: str, value: str) -> None:
    """With the setting's name."""
    with pytest.raises(SettingsError, match=f"GATEWAY_{name}"):
        load(**{f"GATEWAY_{name}": value})
