"""Reads settings from the environment and a TOML file: values, their sources, and all faults."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.settings.cross_checks import cross_check
from gateway.settings.env_file import read_env_file
from gateway.settings.faults import Fault, shown
from gateway.settings.parsers import SeveralFaults
from gateway.settings.spec import FILE_SUFFIX, PREFIX, Spec

CONFIG_FILE = "GATEWAY_CONFIG_FILE"
# Names that start like a setting but are none: the config file's, and a switch of the tests.
NOT_SETTINGS = frozenset({CONFIG_FILE, "GATEWAY_PROBE_TOKEN", "GATEWAY_REQUIRE_REAL"})
BOM = "\ufeff"
SECRET_FILE_LIMIT_BYTES = 64 * 1024

_SERVICE_LINK = re.compile(r"(GATEWAY(?:_[A-Z0-9_]+)?)_SERVICE_HOST\Z")


@dataclass(slots=True)
class Reading:
    """The result, by attribute; ``values`` is usable when ``faults`` is empty.

    ``texts`` has each setting as the user wrote it, or its default; secrets are not in it.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Source:
    """Raw texts by environment name; ``label`` names the source."""

    label: str
    texts: Mapping[str, str]

    def find(self, spec_env: str, secret: bool) -> str | None:
        """The name under which this source has the setting, if any."""
        names = (spec_env, spec_env + FILE_SUFFIX) if secret else (spec_env,)
        return next((name for name in names if name in self.texts), None)


def read(
    specs: Mapping[str, Spec],
    environ: Mapping[str, str],
    config: Path | None,
    env_file: Path | None = None,
) -> Reading:
    """Reads every setting. A user's mistakes are in ``Reading.faults``; they raise nothing."""
    reading = Reading()
    sources = [_from_environment(environ)]
    path = config or _config_file(environ)
    if env_file is not None:
        written, faults = read_env_file(env_file)
        reading.faults.extend(faults)
        sources.append(_from_environment(written, f"file {env_file}"))
        path = path or _config_file(written)
    if path is not None:
        tables = frozenset(spec.env or "" for spec in specs.values() if spec.table)
        sources.append(_from_file(path, tables, reading.faults))
    for source in sources:
        reading.faults.extend(_unknown_names(specs, source))
    for attribute, spec in specs.items():
        _read_one(reading, attribute, spec, sources)
    _fill_same_as(reading, specs)
    reading.faults.extend(cross_check(reading.values))
    return reading


def _config_file(environ: Mapping[str, str]) -> Path | None:
    return Path(environ[CONFIG_FILE]) if environ.get(CONFIG_FILE) else None


def _read_one(reading: Reading, attribute: str, spec: Spec, sources: list[_Source]) -> None:
    env = spec.env or ""
    for source in sources:
        name = source.find(env, spec.secret)
        if name is None:
            continue
        reading.origins[attribute] = f"{source.label} ({name})" if name != env else source.label
        if spec.secret and env in source.texts and env + FILE_SUFFIX in source.texts:
            expected = f"either it or {env}{FILE_SUFFIX}, not both"
            reading.faults.append(Fault(env, None, expected))
            return
        _parse_one(reading, attribute, spec, name, source.texts[name])
        return
    _take_default(reading, attribute, spec)


def _parse_one(reading: Reading, attribute: str, spec: Spec, name: str, text: str) -> None:
    if not spec.secret:
        reading.texts[attribute] = shown(text.strip())
    try:
        if name != spec.env:
            text = _read_secret(name, text.strip())
        # Some editors begin a file with a byte order mark, which no eye sees.
        text = text.removeprefix(BOM)
        # Editors and `echo` end a file, and so a Kubernetes secret in the environment too, with a
        # newline that is not part of the secret; other blanks may be.
        text = text.rstrip("\r\n") if spec.secret else text.strip()
        if not text and _may_be_removed(spec):
            _take_default(reading, attribute, spec)
            return
        reading.values[attribute] = spec.parser.parse(text)
    except _FaultFound as problem:
        reading.faults.append(problem.fault)
    except SeveralFaults as problem:
        reading.faults += [Fault(name, shown(found), what) for found, what in problem.faults]
    except ValueError:
        found = None if spec.secret else shown(text)
        reading.faults.append(Fault(name, found, spec.parser.expected))


def _may_be_removed(spec: Spec) -> bool:
    """Whether an empty file counts as unset: a running gateway can lose a secret in no other way.

    Not if another secret would silently be used instead.
    """
    return not spec.required and spec.same_as is None


class _FaultFound(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _read_secret(name: str, path: str) -> str:
    """The secret in a file. The path is not shown: somebody may have given the secret itself."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(SECRET_FILE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a path"
        raise _FaultFound(Fault(name, None, f"the path of a readable file ({reason})")) from problem
    if len(content) > SECRET_FILE_LIMIT_BYTES:
        raise _FaultFound(Fault(name, None, "a file of at most 64 KiB"))
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        raise _FaultFound(Fault(name, None, "a file in UTF-8")) from problem


def _take_default(reading: Reading, attribute: str, spec: Spec) -> None:
    if spec.required:
        reading.origins[attribute] = "missing"
        also = f" (or {spec.env}{FILE_SUFFIX})" if spec.secret else ""
        expected = f"to be set{also}: {spec.parser.expected}"
        reading.faults.append(Fault(spec.env or "", None, expected))
        return
    reading.origins[attribute] = "default"
    if spec.default:
        reading.texts[attribute] = spec.default
        reading.values[attribute] = spec.parser.parse(spec.default)
    else:
        reading.values[attribute] = () if spec.default == "" else None


def _fill_same_as(reading: Reading, specs: Mapping[str, Spec]) -> None:
    for attribute, spec in specs.items():
        if spec.same_as is None or reading.origins[attribute] != "default":
            continue
        reading.origins[attribute] = f"default ({specs[spec.same_as].env})"
        reading.values.pop(attribute, None)
        if spec.same_as in reading.values:
            reading.values[attribute] = reading.values[spec.same_as]
        if spec.same_as in reading.texts:
            reading.texts[attribute] = reading.texts[spec.same_as]


def _from_environment(environ: Mapping[str, str], label: str = "environment") -> _Source:
    """Empty variables count as unset: compose files omit a setting in that way."""
    linked = tuple(_service_link_prefixes(environ))
    texts = {
        name: text
        for name, text in environ.items()
        if name.startswith(PREFIX) and text.strip() and name not in NOT_SETTINGS
        if not name.startswith(linked)
    }
    return _Source(label, texts)


def _service_link_prefixes(environ: Mapping[str, str]) -> Iterator[str]:
    """Prefixes of the variables Kubernetes adds for a Service called ``gateway`` or ``gateway-…``.

    It sets ``GATEWAY_SERVICE_HOST``, ``GATEWAY_PORT=tcp://…`` and more in every pod of the
    namespace, the gateway's own included; they are no typing errors.
    """
    for name in environ:
        match = _SERVICE_LINK.match(name)
        if match and environ.get(f"{match[1]}_PORT", "").startswith(
            ("tcp://", "udp://", "sctp://")
        ):
            yield f"{match[1]}_SERVICE_HOST"
            yield f"{match[1]}_SERVICE_PORT"
            yield f"{match[1]}_PORT"


def _from_file(path: Path, tables: frozenset[str], faults: list[Fault]) -> _Source:
    """``tables`` are the names of settings whose value may be a table."""
    label = f"file {path}"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        faults.append(Fault(CONFIG_FILE, str(path), f"a readable file ({problem.strerror})"))
        return _Source(label, {})
    except (ValueError, RecursionError) as problem:
        faults.append(Fault(CONFIG_FILE, str(path), f"a TOML file ({_why_no_toml(problem)})"))
        return _Source(label, {})
    return _Source(label, dict(_flatten(document, PREFIX, tables, faults)))


def _why_no_toml(problem: ValueError | RecursionError) -> str:
    """The parser's own words name line and column, never the text."""
    if isinstance(problem, UnicodeDecodeError):
        return "not UTF-8"
    return "nested too deeply" if isinstance(problem, RecursionError) else str(problem)


def _flatten(
    table: Mapping[str, Any], prefix: str, tables: frozenset[str], faults: list[Fault]
) -> Iterator[tuple[str, str]]:
    """``[server] port = 1`` and ``server_port = 1`` are both ``GATEWAY_SERVER_PORT``."""
    for key, value in table.items():
        name = prefix + key.upper()
        if isinstance(value, dict) and name not in tables:
            yield from _flatten(value, name + "_", tables, faults)
            continue
        text = _table_as_text(value) if isinstance(value, dict) else _as_text(value)
        if text is None:
            faults.append(Fault(name, None, "a string, a number, a boolean or a list of strings"))
        elif text.strip():
            yield name, text


def _as_text(value: Any) -> str | None:
    """A TOML value as text, as it would be in the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return None


def _table_as_text(table: Mapping[str, Any]) -> str | None:
    """``"query:run" = "60/m per subject"`` as ``query:run 60/m per subject``; ``;`` parts them."""
    texts = {key: _as_text(value) for key, value in table.items()}
    if any(text is None for text in texts.values()):
        return None
    return "; ".join(f"{key} {text}" for key, text in texts.items())


def _unknown_names(specs: Mapping[str, Spec], source: _Source) -> Iterator[Fault]:
    known = {spec.env or "" for spec in specs.values()}
    known |= {(spec.env or "") + FILE_SUFFIX for spec in specs.values() if spec.secret}
    for name in source.texts:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            where = "" if source.label == "environment" else f" in {source.label}"
            # The value is not shown: a misspelt secret is a secret.
            yield Fault(name, None, f"a setting that exists{where}{hint}")
