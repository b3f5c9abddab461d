"""``.env.example`` and the settings page, written from the list of settings."""

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
# Every setting of the gateway, with its default. Copy to .env, fill in what has no "#" before it,
# and load it into the environment: set -a; . ./.env; set +a
# Each secret can be given as a file instead: NAME_FILE=/run/secrets/name
# `openssl rand -hex 32` makes a good one. Written by `{COMMAND}`.
"""

_PAGE_HEAD = f"""\
# Settings

*Written by `{COMMAND}` from the definitions in `gateway/settings/model.py`.*

`gateway check` prints every setting with its value and where it came from, and everything that is
wrong, at once; `gateway check --connect` asks the dependencies as well.

**Where a value comes from.** The environment first; then a TOML file, for development, named by
`--config` or `GATEWAY_CONFIG_FILE`; then the default. A variable that is set to nothing counts as
unset. In the TOML file a setting has its name without `GATEWAY_`, in lower case; tables are joined
with `_`, so these two are the same:

```toml
server_port = 8080

[server]
port = 8080
```

**Secrets** (🔒) can also be given as a file: `GATEWAY_JWT_SECRET_FILE=/run/secrets/jwt`. A line
break at the file's end is not part of the secret. Giving both is a fault. An empty file is a fault
too, or counts as unset for a secret that may be left out and has none to stand in for it. No secret
is ever printed.

**Kinds.** Durations: `24h`, `15m`, `30s`, `500ms`, or plain seconds. Sizes: `1GiB`, `16MiB`,
`64KiB`, or plain bytes. Lists are separated by commas (in TOML also `["a", "b"]`). Switches are
`true` or `false`.

**Unknown names** that start with `GATEWAY_` are faults, with the nearest known name. The variables
Kubernetes adds for a Service named `gateway` or `gateway-…` are let be.
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
    """What a reader of ``.env.example`` needs: the page's table without its columns."""
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
    yield f"\nA file for a secret: the same name with `{FILE_SUFFIX}` at its end.\n"


def _default(spec: Spec, specs: Mapping[str, Spec]) -> str:
    if spec.required:
        return "**required**"
    if spec.same_as is not None:
        return f"`{specs[spec.same_as].env}`"
    if spec.default == "":
        return "none"
    return "unset" if spec.default is None else f"`{spec.default}`".replace(",", "`, `")


def write(specs: Mapping[str, Spec], root: Path) -> list[Path]:
    """Writes every generated file below ``root`` and says which."""
    for path, text in generate(specs).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return list(generate(specs))
