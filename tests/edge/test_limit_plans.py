"""The plans of docs/limits.md, word for word, in the real embedded engine behind a gateway."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gateway.adapters.policy_bundle import BUNDLE_NAME, build_with
from tests.components import component

from .conftest import running_gateway
from .stub_core import StubCore
from .test_limits import status_of_asking

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "limits.md"
OPA = CHECKOUT / "opa"
REPLACED = "obligations := {}\n"
_BLOCK = re.compile(r"```(rego|json)\n(.*?)```", re.DOTALL)


def write_plans(folder: Path, old: str = "", new: str = "") -> Path:
    """A bundle of the default policy with what the page adds to it and replaces in it.

    In the page's data, ``new`` is put in the place of ``old``.
    """
    page = PAGE.read_text("utf-8").partition("\n## Plans\n")[2].partition("\n## ")[0]
    package, data, line = (text for _, text in _BLOCK.findall(page))
    authz = (OPA / "gateway" / "authz.rego").read_text("utf-8")
    assert REPLACED in authz
    (folder / "authz.rego").write_text(authz.replace(REPLACED, line))
    (folder / "conditions.rego").write_text((OPA / "gateway" / "conditions.rego").read_text())
    (folder / "plans.rego").write_text(package)
    known = json.loads((OPA / "data.json").read_text("utf-8"))
    assert old in data
    known["gateway"].update(json.loads(data.replace(old, new)))
    (folder / "data.json").write_text(json.dumps(known))
    opa = component("opa").path
    assert opa is not None
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / BUNDLE_NAME).write_bytes(build_with(opa, folder))
    return bundle


async def test_each_caller_has_the_limits_of_his_plan(core: StubCore, tmp_path: Path) -> None:
    """Of one setting: alice's tenant pays, carol's does not."""
    plans = write_plans(tmp_path)
    limits = "query:run 60/m per subject; *:* 600/m per tenant"
    async with running_gateway(core, LIMITS=limits, POLICY_DIR=str(plans)) as gateway:
        paying, free = await gateway.bearer("alice"), await gateway.bearer("carol")
        path = "/api/v1/documents/0190a1b2-0000-7000-8000-000000000000"

        answers = [await gateway.client.get(path, headers=each) for each in (paying, free)]
        asked = [await gateway.asking(credential=each) for each in (paying, free)]

        assert [answer.headers["RateLimit-Policy"] for answer in answers] == [
            '"*:*/tenant/m";q=600;w=60',
            '"*:*/tenant/m";q=600;w=60, "documents:*/subject/h";q=30;w=3600',
        ]
        assert [one.headers["ratelimit-policy"] for one in asked] == [
            '"*:*/tenant/m";q=600;w=60, "query:run/subject/m";q=120;w=60;kbg-burst=20,'
            ' "query:run/subject/open";q=10;qu="concurrent-requests"',
            '"*:*/tenant/m";q=600;w=60, "query:run/subject/m";q=2;w=60,'
            ' "query:run/subject/open";q=1;qu="concurrent-requests"',
        ]
        for one in asked:
            one.writer.close()


async def test_a_free_plan_ends_where_it_says(core: StubCore, tmp_path: Path) -> None:
    plans = write_plans(tmp_path)
    limits = "query:run 60/m per subject"
    async with running_gateway(core, LIMITS=limits, POLICY_DIR=str(plans)) as gateway:
        free = await gateway.bearer("carol")
        bad = b'{"no": "query"}'

        assert [await status_of_asking(gateway, bad, free) for _ in range(3)] == [400, 400, 429]
        assert [await status_of_asking(gateway, bad) for _ in range(3)] == [400] * 3


async def test_a_misspelt_plan_opens_no_door(core: StubCore, tmp_path: Path) -> None:
    """The configured limit holds; where there is none, the request is refused."""
    plans = write_plans(tmp_path, "2/m, 1 open", "2 per minute")
    async with running_gateway(
        core, LIMITS="query:run 1/h per subject", POLICY_DIR=str(plans)
    ) as gateway:
        free = await gateway.bearer("carol")
        bad = b'{"no": "query"}'
        assert [await status_of_asking(gateway, bad, free) for _ in range(2)] == [400, 429]
    async with running_gateway(
        core, LIMITS="login 5/m per account", POLICY_DIR=str(plans)
    ) as gateway:
        assert await status_of_asking(gateway, b'{"query": "hi"}', free) == 503
        assert await status_of_asking(gateway, bad) == 400
