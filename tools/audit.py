"""``python -m tools.audit``: known vulnerabilities in the locked packages, by ``pip-audit``.

A vulnerability makes it fail. If the service cannot be reached from this machine, it does not fail,
and prints that nothing was audited. A package that the service does not know, while it knows
others, makes it fail too, because its vulnerabilities would never be reported.

``pip-audit`` itself prints "no known vulnerabilities" for packages it could not ask about, so its
report is read here instead of its exit status.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.lock import LOCK

NOT_ASKED = "NOT AUDITED: the vulnerability service cannot be asked from here; see SECURITY.md."


def verdict(report: dict[str, Any] | None) -> tuple[int, list[str]]:
    """Exit status and lines to print for pip-audit's JSON report; ``None``: there is no report."""
    packages = [] if report is None else report.get("dependencies", [])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return 0, [NOT_ASKED]
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}, fixed in"
        f" {', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in packages
        for fault in package.get("vulns", [])
    ]
    lines += [f"{name}: not known to the service" for name in skipped]
    return (
        (1, lines)
        if lines
        else (0, [f"{len(packages)} packages audited, no known vulnerabilities."])
    )


def ask() -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK)]
        command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(report)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if report.exists():
            found: dict[str, Any] = json.loads(report.read_text("utf-8"))
            return found
        print(*done.stderr.splitlines()[-1:], file=sys.stderr)
        if "ConnectionError" in done.stderr or "Timeout" in done.stderr:
            return None
        raise SystemExit("pip-audit failed, and not because its service could not be reached")


def main() -> int:
    status, lines = verdict(ask())
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
