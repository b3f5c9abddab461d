"""Schemas of the custom resources, from the Go modules that define them, at pinned versions.

``tools/go.mod`` says which: requirements whose comment reads ``schemas in FOLDER``. A schema is
made strict: a field it does not name is an error, where a cluster would drop it without a word.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from .rendered import CHECKOUT, Manifest, lacking

DOWNLOAD_LIMIT_S = 300
_PIN = re.compile(r"^\s*(\S+) (v\S+) // schemas in (\S+)$", re.MULTILINE)

Schema = dict[str, Any]


def faults(manifest: Manifest) -> list[str]:
    """What is wrong with a custom resource, by its CRD. ``KeyError`` for one that has none."""
    schema = _schemas()[manifest["apiVersion"], manifest["kind"]]
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def known() -> set[str]:
    """Every ``group/version`` there is a schema for."""
    return {version for version, _ in _schemas()}


@cache
def _schemas() -> dict[tuple[str, str], Schema]:
    found: dict[tuple[str, str], Schema] = {}
    for module, version, folder in _PIN.findall((CHECKOUT / "tools/go.mod").read_text("utf-8")):
        place = _downloaded(module, version) / folder
        files = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        for file in files:
            for document in _documents(file):
                found |= _of_definition(document)
    return found


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A bare ``=``, which YAML 1.1 has a meaning for and Go has not, is text."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)


def _documents(file: Path) -> list[Manifest | None]:
    return list(yaml.load_all(file.read_text("utf-8"), _Loader))


def _downloaded(module: str, version: str) -> Path:
    """The module's folder in Go's own cache."""
    go = shutil.which("go")
    if go is None:
        lacking(f"{module}: there is no `go` on PATH; install Go (https://go.dev/dl)")
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [str(go), "mod", "download", "-json", f"{module}@{version}"],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
    told = json.loads(done.stdout or "{}")
    if done.returncode != 0 or "Dir" not in told:
        lacking(f"{module}@{version}: {told.get('Error') or done.stderr}")
    return Path(told["Dir"])


def _of_definition(document: Manifest | None) -> dict[tuple[str, str], Schema]:
    if not document or document.get("kind") != "CustomResourceDefinition":
        return {}
    spec = document["spec"]
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): _of_object(
            version["schema"]["openAPIV3Schema"]
        )
        for version in spec["versions"]
        if version["served"]
    }


def _of_object(schema: Schema) -> Schema:
    """Whether or not the definition says so, every object has these three."""
    every: Schema = {"apiVersion": {}, "kind": {}, "metadata": {}}
    return strict({**schema, "properties": {**every, **schema.get("properties", {})}})


def strict(schema: Schema) -> Schema:
    """The schema as JSON Schema, refusing fields it does not name.

    Rules in CEL (``x-kubernetes-validations``) are the API server's alone to check.
    """
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: strict(below) for name, below in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), dict):
        made["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(schema["additionalProperties"])
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    elif schema.get("nullable"):
        made["type"] = [schema["type"], "null"]
    return made
