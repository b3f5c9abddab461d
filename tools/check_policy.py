"""``python -m tools.check_policy``: checks the policy with OPA: format, types and tests.

The embedded engine accepts syntax that OPA refuses, so OPA decides. Without an ``opa`` program the
check is skipped and prints how to get one; with ``GATEWAY_REQUIRE_REAL=1`` it fails instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devstack.components import find_program

POLICY = "opa"
CHECKS = (
    ("fmt", "--fail", "--diff", POLICY),
    ("check", "--strict", POLICY),
    ("test", "--verbose", POLICY),
    ("test", "--coverage", "--threshold", "100", POLICY),
)


def main() -> int:
    os.chdir(Path(__file__).parents[1])
    opa = find_program("opa")
    if opa is None:
        return _missing()
    return max(_run(opa, check) for check in CHECKS)


def _run(opa: Path, arguments: tuple[str, ...]) -> int:
    print("$ opa", *arguments, flush=True)
    done = subprocess.run([opa, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    # The coverage report is long JSON, of no interest when coverage is complete.
    if done.returncode or "--coverage" not in arguments:
        print(done.stdout, flush=True)
    return min(done.returncode, 1) if done.returncode >= 0 else 1


def _missing() -> int:
    print(
        "No opa beside the interpreter, on PATH or in the cache. Install OPA, or let Go build it: "
        "`python -m devstack.fetch`."
    )
    if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
        print("GATEWAY_REQUIRE_REAL=1: a missing component is a failure.")
        return 1
    print("Skipped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
