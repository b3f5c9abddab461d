"""Writes ``.env.example`` and the settings page from the list of settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from gateway.settings.spec import FILE_SUFFIX, Spec

ENV_EXAMPLE = Path(".env.example")
SETTINGS_PAGE = Path("docs/settings.md")
COMMAND = "python -m gateway.settings docs"

_ENV_HEAD = f"""\
# Every setting of the gateway, with its default. `gateway init` writes a .env with what one machine
# needs; add to it what you change. Other programs get it by: set -a; . ./.env; set +a
# Each secret can be given as a file instead: NAME_FILE=/run/secrets/name
# `openssl rand -hex 32` makes a good secret. This file is written by `{COMMAND}`.
"""

_PAGE_HEAD = f"""\
# Settings

*Written by `{COMMAND}` from the definitions in `gateway/settings/model.py`.*

`gateway check` prints every setting with its value and its source, and every fault. It looks at all
that `gateway serve` needs to start: the values, the users file, the certificates, and whether this
machine has the addresses to listen on. It also reports certificates that are out of date, which
stop no start. `gateway check --connect` asks the dependencies too.

**Where a value comes from.** From the environment; else from a file of `NAME=value` lines, such as
the `.env` that `gateway init` writes; else from a TOML file (for development), named by `--config`
or `GATEWAY_CONFIG_FILE`; else it is the default. An empty variable counts as unset.

**`.env`.** `--env-file FILE` names such a file. Without it, and without a TOML file, `.env` in the
current folder is read, but only where the environment has none of the settings that are
**required** below: in a container, or wherever else the environment configures the gateway, no
file that lies there adds to it. It must belong to you or to root. The lines are as a shell takes
them: what is not one plain word stands in single quotes, and nothing is expanded. On SIGHUP the
file is read again.

In the TOML file a setting has its name without `GATEWAY_`, in lower case; names of tables are
joined with `_`, so these two are the same. The file is UTF-8, with or without a byte order mark:

```toml
server_port = 8080

[server]
port = 8080
```

**Secrets** (🔒) can also be given as a file: `GATEWAY_JWT_SECRET_FILE=/run/secrets/jwt`. A line
break at the file's end is not part of the secret, nor is a byte order mark at its beginning. Giving
both the value and the file is a fault. An empty file counts as unset for an optional secret whose
default is "unset"; for any other secret it is a fault. No secret is ever printed.

**Kinds.** Durations: `24h`, `15m`, `30s`, `500ms`, or plain seconds. Sizes: `1GiB`, `16MiB`,
`64KiB`, or plain bytes. Lists are separated by commas (in TOML also `["a", "b"]`). Switches are
`true` or `false`.

**Unknown names** that start with `GATEWAY_` are faults, reported with the nearest known name. The
variables that Kubernetes adds for a Service named `gateway` or `gateway-…` are ignored.
"""


def generate(specs: Mapping[str, Spec]) -> dict[Path, str]:
    """Path in the repository → text, for every generated file."""
    return {
        ENV_EXAMPLE: _ENV_HEAD + "".join(_env_lines(specs)),
        SETTINGS_PAGE: _PAGE_HEAD + "".join(_page_lines(specs)),
    }


def _groups(specs: Mapping[str, Spec]) -> Iterator[tuple[str, list[Spec]]]:
    for title, members in groupby(specs.values(), key=lambda spec: spec.group):
        yield title, list(members)


def _env_lines(specs: Mapping[str, Spec]) -> Iterator[str]:
    for title, members in _groups(specs):
        yield f"\n# --- {title} " + "-" * (93 - len(title)) + "\n"
        for spec in members:
            yield "\n" + "".join(f"# {line}\n" for line in wrap(_sentence(spec), 97))
            yield f"{'' if spec.required else '#'}{spec.env}={spec.default or spec.example}\n"


def _sentence(spec: Spec) -> str:
    """A setting's comment in ``.env.example``: its meaning and its kind."""
    kind = spec.parser.expected
    return f"{spec.doc} Expected: {kind}.".replace("`", "")


def _page_lines(specs: Mapping[str, Spec]) -> Iterator[str]:
    for title, members in _groups(specs):
        yield f"\n## {title}\n\n| Setting | Default | Meaning | Expected |\n|---|---|---|---|\n"
        for spec in members:
            lock = " 🔒" if spec.secret else ""
            expected = spec.parser.expected.replace("|", "\\|").replace("*", "\\*")
            expected = expected.replace("<", "&lt;")
            yield f"| `{spec.env}`{lock} | {_default(spec, specs)} | {spec.doc} | {expected} |\n"
    yield f"\nThe file for a secret is named by the same setting with `{FILE_SUFFIX}` at its end.\n"


def _default(spec: Spec, specs: Mapping[str, Spec]) -> str:
    if spec.required:
        return "**required**"
    if spec.same_as is not None:
        return f"`{specs[spec.same_as].env}`"
    if spec.default == "":
        return "none"
    return "unset" if spec.default is None else f"`{spec.default}`".replace(",", "`, `")


def write(specs: Mapping[str, Spec], root: Path) -> list[Path]:
    """Writes every generated file below ``root`` and returns their paths."""
    for path, text in generate(specs).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return list(generate(specs))
