"""``compose.yaml`` as Compose reads it, with what ``gateway init`` writes into ``.env``.

The program is the reader that Compose is built on, and knows variables, but gets none to put in
(its ``LoadModel`` passes on no environment): they are put in here.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gateway.commands import init_file
from tests.kubernetes.rendered import program

CHECKOUT = Path(__file__).parents[2]
COMPOSE = CHECKOUT / "compose.yaml"
SECRETS = init_file.chosen({})
# ``${NAME:-default}``, ``${NAME:?message}``: the two forms of the file.
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+):(?P<how>[-?])(?P<rest>[^}]*)\}")
Service = dict[str, Any]


def read_by_compose(text: str) -> subprocess.CompletedProcess[str]:
    """Checks ``text`` by the specification's schema and rules; what it means is on stdout."""
    return subprocess.run(
        [program("compose-spec"), "--format", "json", "/dev/stdin"],
        cwd=CHECKOUT,
        env={},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )


def with_variables(values: Mapping[str, str]) -> str:
    """The file's text, its variables replaced. Raises ``KeyError`` for one that has no value."""
    return VARIABLE.sub(lambda found: _value(found, values), COMPOSE.read_text("utf-8"))


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    if found["how"] == "-":
        return values.get(found["name"]) or found["rest"]
    return values[found["name"]]


@cache
def services() -> dict[str, Service]:
    """By name, every variable replaced."""
    done = read_by_compose(with_variables(SECRETS))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, Service] = json.loads(done.stdout)["services"]
    return found


def lasting() -> dict[str, Service]:
    """Those that serve; the others run to their end at each start."""
    return {name: one for name, one in services().items() if one["restart"] != "no"}
