"""``python -m tools.build_policy``: compiles ``opa/`` into the bundle that the gateway comes with.

With the OPA that ``tools/go.mod`` pins, so that everybody gets the same bytes; a test builds it
again and compares. The bundle is committed: installing the gateway needs neither OPA nor Go.
"""

from __future__ import annotations

import sys
from pathlib import Path

from devstack.components import find_program, program_version
from devstack.fetch import pins
from gateway.adapters.policy_bundle import DEFAULT_BUNDLE, build_with

POLICY = Path(__file__).parents[1] / "opa"


def main() -> int:
    [pinned] = [pin.version for pin in pins() if pin.program == "opa"]
    opa = find_program("opa")
    if opa is None or f"v{program_version(opa)}" != pinned:
        print(f"OPA {pinned} is needed; `python -m devstack.fetch opa` builds it.", file=sys.stderr)
        return 1
    DEFAULT_BUNDLE.write_bytes(build_with(opa, POLICY))
    print(f"written: {DEFAULT_BUNDLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
