"""Temporal's SDK brings nothing along that nobody uses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

CODE = """
import sys
import gateway.app, gateway.wiring.services
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("grpc", "grpcio")))
print("temporalio.client" in sys.modules)
"""


def test_a_worker_does_not_import_grpcio_because_it_is_installed() -> None:
    """It is installed here, as every extra is, and the SDK's generated code asks for it: 9 MB."""
    assert importlib.util.find_spec("grpc") is not None
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[:2] == ["", "True"]
