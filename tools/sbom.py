"""``python -m tools.sbom [FILE]``: the gateway's bill of materials, as CycloneDX 1.6 JSON.

It is made from ``requirements.lock`` alone, without a date: the same lock gives the same bytes.
Source: https://cyclonedx.org/docs/1.6/json/ and the purl type ``pypi``.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

from tools.lock import CHECKOUT, LOCK, Locked, locked

NAME = "knowledge-base-gateway"


def bill(packages: list[Locked], version: str) -> dict[str, Any]:
    """The bill of materials of the gateway at ``version`` on these packages."""
    root = f"pkg:pypi/{NAME}@{version}"
    contents = json.dumps([root, *(_purl(package) for package in packages)])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, contents)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": NAME,
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [_component(package) for package in packages],
        "dependencies": [{"ref": root, "dependsOn": [_purl(package) for package in packages]}],
    }


def _purl(package: Locked) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _component(package: Locked) -> dict[str, Any]:
    """The component of a package; its digests are those of the wheels of all platforms."""
    page = f"https://pypi.org/project/{package.name}/{package.version}/"
    hashes = [{"alg": "SHA-256", "content": digest} for digest in package.sha256]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package.name,
        "version": package.version,
        "purl": _purl(package),
        "externalReferences": [{"type": "distribution", "url": page, "hashes": hashes}],
    }
    if package.marker is not None:
        component["properties"] = [{"name": "python:marker", "value": package.marker}]
    return component


def version() -> str:
    text = (CHECKOUT / "gateway/__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]


def main(arguments: list[str]) -> int:
    text = json.dumps(bill(locked(LOCK.read_text("utf-8")), version()), indent=2) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, "utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
