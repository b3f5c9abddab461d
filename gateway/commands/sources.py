"""Where a command takes its settings from: the environment, ``.env``, a TOML file."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.settings import SPECS, Fault, Reading, Settings, SettingsError, read
from gateway.settings.env_file import read_env_file
from gateway.settings.loading import CONFIG_FILE
from gateway.settings.spec import FILE_SUFFIX

Environ = Mapping[str, str]

# What ``gateway init`` writes, in the folder in which it is called.
OWN_FILE = Path(".env")

HOW_TO_BEGIN = """\
Nothing is set yet. To begin:
  gateway demo     starts all of it on this machine, with nothing to set
  gateway init     writes .env: secrets, addresses, and tells what is still missing
  gateway check    tells what is wrong, with --connect also which dependency does not answer
Every setting is in docs/settings.md; how to begin, with containers too, in docs/start.md."""
AFTER_CHECK = """\
Next: gateway setup             makes the buckets
      gateway check --connect   asks each dependency
      gateway serve             serves, the console among it"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="NAME=value lines, which the environment overrides (default: .env in this folder,"
        " where the environment has none of the settings that are required)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of settings for development, which both override"
        " (default: $GATEWAY_CONFIG_FILE)",
    )


def load(parsed: argparse.Namespace, environ: Environ) -> Settings:
    """The settings that these options name. Raises ``SettingsError`` with all faults."""
    found = reading(parsed, environ)
    if found.faults:
        raise SettingsError(found.faults)
    return Settings(**found.values)


def reading(parsed: argparse.Namespace, environ: Environ) -> Reading:
    return read(SPECS, environ, parsed.config, env_file(parsed, environ))


def env_file(parsed: argparse.Namespace, environ: Environ) -> Path | None:
    """The file that was named, or our own where nothing else says what the gateway needs.

    All or nothing: where the environment configures a gateway, as in a container or a test, no file
    that happens to lie in the folder adds to it.
    """
    if parsed.env_file is not None:
        named: Path = parsed.env_file
        return named
    if parsed.config is not None or environ.get(CONFIG_FILE) or _is_configured(environ):
        return None
    return OWN_FILE if _may_be_believed(OWN_FILE) else None


def users_file(environ: Environ) -> str | None:
    """``GATEWAY_USERS_FILE``, for the command that edits it and needs no other setting."""
    name = SPECS["users_file"].env or ""
    if environ.get(name) or _is_configured(environ) or not _may_be_believed(OWN_FILE):
        return environ.get(name)
    written, _ = read_env_file(OWN_FILE)
    return written.get(name)


def nothing_is_set(faults: list[Fault]) -> bool:
    """Whether these are the faults of an empty environment: all that is needed is missing."""
    return faults == read(SPECS, {}, None).faults


def what_is_next(parsed: argparse.Namespace, environ: Environ, faults: list[Fault]) -> str:
    """What ``gateway check`` ends with for somebody who begins; empty for all others."""
    if nothing_is_set(faults):
        return f"\n{HOW_TO_BEGIN}\n{unread(parsed, environ)}"
    if faults:
        return unread(parsed, environ)
    begins = not parsed.connect and env_file(parsed, environ) is not None
    return f"\n{AFTER_CHECK}\n" if begins else ""


def unread(parsed: argparse.Namespace, environ: Environ) -> str:
    """A sentence about a ``.env`` that lies there and was not read; empty where there is none."""
    if env_file(parsed, environ) is not None or not OWN_FILE.is_file():
        return ""
    return f"{OWN_FILE} in this folder was not read; '--env-file {OWN_FILE}' reads it, too.\n"


def _is_configured(environ: Environ) -> bool:
    names = [spec.env or "" for spec in SPECS.values() if spec.required]
    return any(environ.get(name) or environ.get(name + FILE_SUFFIX) for name in names)


def _may_be_believed(path: Path) -> bool:
    """Not what somebody else has put into a folder that all can write to, such as /tmp."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid())


def say_which(parsed: argparse.Namespace, environ: Environ) -> None:
    """Tells of a file that nobody named: what is in force should surprise nobody."""
    found = env_file(parsed, environ)
    if found is not None and parsed.env_file is None:
        print(f"gateway: settings are read from {found.absolute()}", file=sys.stderr)
