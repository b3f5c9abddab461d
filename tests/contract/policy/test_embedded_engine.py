"""What only the embedded engine has: files to read, a reload, a thread."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.rego import (
    NOT_LOADED,
    RegoPolicy,
    default_policy_dir,
    read_policy_files,
)
from gateway.domain.identity import is_name, is_role
from gateway.domain.policy import MALFORMED_INPUT, POLICY_BROKEN, canonical
from gateway.errors import PolicyBroken, PolicyUnavailable

OPEN_TO = """package gateway.authz

reason := "x"
obligations := {{}}
default allow := false
allow if input.who == "{}"
"""

# Counts to the square of input.n: ten thousand steps where the budget has room for none.
SLOW = """package gateway.authz

steps := numbers.range(1, input.n)
reason := sprintf("%d", [count([1 | steps[_]; steps[_]])])
obligations := {}
default allow := false
"""
MAY_ASK: dict[str, Any] = {
    "subject": {"id": "", "tenant": "acme", "roles": ["reader"], "scopes": None, "auth": "jwt"},
    "action": "query:run",
    "resource": {"type": "query", "id": None, "owner": "", "tenant": "acme"},
    "request": {"method": "POST", "route": "/api/v1/query", "ip": "127.0.0.1"},
}
SYNTAX_ERROR = "package gateway.authz\n\nallow if {{\n"


@pytest.fixture
def load() -> Iterator[Callable[..., RegoPolicy]]:
    loaded: list[RegoPolicy] = []

    def start(folder: Path, budget_s: float = 60.0) -> RegoPolicy:
        loaded.append(RegoPolicy(folder, budget_s))
        return loaded[-1]

    yield start
    for policy in loaded:
        policy.close()


@pytest.mark.parametrize(
    "rego",
    [SYNTAX_ERROR, "", "package gateway.authz\n\nallow if no_such_function(1)\n", "\0"],
    ids=["syntax", "empty file", "unknown function", "binary"],
)
async def test_policy_that_does_not_compile_denies_and_says_so(
    load: Callable[..., RegoPolicy],
    policy_folder: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    rego: str,
) -> None:
    """The gateway starts on a policy it cannot read, denies everybody, and is not ready."""
    policy = load(policy_folder(rego))
    assert (await policy.decide_input({})).reason == POLICY_BROKEN
    assert policy.revision == NOT_LOADED
    with pytest.raises(PolicyBroken) as caught:
        await policy.check()
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


async def test_missing_folder_denies_and_says_so(
    load: Callable[..., RegoPolicy], tmp_path: Path
) -> None:
    """No policy is a broken one."""
    policy = load(tmp_path / "nowhere")
    assert (await policy.decide_input({})).reason == POLICY_BROKEN
    with pytest.raises(PolicyBroken):
        await policy.check()


@pytest.mark.parametrize("data", ["", "[]", "{", "null", '{"a": "\xff'.encode("latin-1")])
async def test_data_that_cannot_be_read_denies_and_says_so(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path], data: str | bytes
) -> None:
    """A policy without the data it was written for is not asked at all."""
    folder = policy_folder(OPEN_TO.format("ann"))
    (folder / "data.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    policy = load(folder)
    assert (await policy.decide_input({"who": "ann"})).reason == POLICY_BROKEN
    with pytest.raises(PolicyBroken):
        await policy.check()


async def test_reload_takes_the_new_policy(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path]
) -> None:
    """After a reload the new rules decide, under a new revision."""
    policy = load(policy_folder(OPEN_TO.format("ann")))
    before = policy.revision
    policy_folder(OPEN_TO.format("bob"))
    assert (await policy.decide_input({"who": "bob"})).allow is False
    assert await policy.faults() == []
    assert policy.revision == before
    await policy.reload()
    assert (await policy.decide_input({"who": "bob"})).allow is True
    assert (await policy.decide_input({"who": "ann"})).allow is False
    assert policy.revision != before


@pytest.mark.parametrize(
    "bad",
    [SYNTAX_ERROR, "package other\n", OPEN_TO.format("ann").replace("== ", "!= ") + "allow := 1\n"],
    ids=["syntax", "another package", "conflict"],
)
async def test_bad_reload_keeps_the_old_policy(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path], bad: str
) -> None:
    """A reload that fails says so and changes nothing."""
    policy = load(policy_folder(OPEN_TO.format("ann")))
    before = policy.revision
    policy_folder(bad)
    assert len(await policy.faults()) == 1
    with pytest.raises(PolicyBroken):
        await policy.reload()
    assert policy.revision == before
    assert (await policy.decide_input({"who": "ann"})).allow is True
    await policy.check()


async def test_reload_mends_a_broken_start(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path]
) -> None:
    """A policy that was broken at the start is ready as soon as it is mended."""
    policy = load(policy_folder(SYNTAX_ERROR))
    policy_folder(OPEN_TO.format("ann"))
    await policy.reload()
    await policy.check()
    assert (await policy.decide_input({"who": "ann"})).allow is True


async def test_questions_during_reloads_get_answers(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path]
) -> None:
    """A reload under load leaves no question without its verdict."""
    policy = load(policy_folder(OPEN_TO.format("ann")))

    async def ask() -> list[bool]:
        return [(await policy.decide_input({"who": "ann"})).allow for _ in range(50)]

    async def reload() -> list[bool]:
        for _ in range(10):
            await policy.reload()
        return [True]

    answers = await asyncio.gather(ask(), ask(), reload(), ask())
    assert all(all(some) for some in answers)


async def test_question_out_of_budget_is_unavailable(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path]
) -> None:
    """A policy that takes too long costs its budget, and the event loop nothing."""
    hasty = load(policy_folder(SLOW), 0.001)
    with pytest.raises(PolicyUnavailable) as caught:
        await hasty.decide_input({"n": 100})
    assert not isinstance(caught.value, PolicyBroken)


async def test_revision_is_the_content(
    load: Callable[..., RegoPolicy], policy_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """The same rules and data have one revision, and data alone makes another."""
    folder = policy_folder(OPEN_TO.format("ann"), '{"a": 1, "b": 2}')
    first = read_policy_files(folder).revision
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "data.json").write_text('{"b": 2, "a": 1}')
    assert read_policy_files(copy).revision == first
    (copy / "data.json").write_text('{"b": 2, "a": 2}')
    assert read_policy_files(copy).revision != first


async def test_tests_and_golden_inputs_are_not_loaded() -> None:
    """What is served is the policy alone; its only data is the root's ``data.json``."""
    files = read_policy_files(default_policy_dir())
    assert set(files.modules) == {"gateway/authz.rego", "gateway/conditions.rego"}
    assert set(files.data) == {"gateway"}


async def test_close_ends_the_thread(policy_folder: Callable[..., Path]) -> None:
    """A closed policy leaves no thread behind."""
    before = set(threading.enumerate())
    policy = RegoPolicy(policy_folder(OPEN_TO.format("ann")), 60.0)
    (mine,) = set(threading.enumerate()) - before
    policy.close()
    await asyncio.to_thread(mine.join)
    assert not mine.is_alive()


ECHO = """package gateway.authz

default allow := false
reason := "seen"
obligations := {"input": input}
"""
AS_SPELLED = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegoPolicy]:
    folder = tmp_path_factory.mktemp("echo")
    (folder / "echo.rego").write_text(ECHO)
    policy = RegoPolicy(folder, 60.0)
    yield policy
    policy.close()


@pytest.fixture(scope="module")
def shipped() -> Iterator[RegoPolicy]:
    policy = RegoPolicy(default_policy_dir(), 60.0)
    yield policy
    policy.close()


@given(document=AS_SPELLED)
@example(document="ann\0x")
@example(document="ann\\u0000x")
@example(document=[2**63, -(2**63) - 1, 0.5])
@example(document={"ann": "\n", '"': "\\"})
def test_input_means_what_it_spells(echo: RegoPolicy, document: object) -> None:
    """By value or as text, the policy sees the same; only what JSON cannot say it never sees."""
    said = asyncio.run(echo.decide_input(document))
    if canonical(document) is None:
        assert said.reason == MALFORMED_INPUT
    else:
        assert said.obligations["input"] == document


PARTS = st.sampled_from([*"ab09_-AZ\\\n\t\0\"'é $^.", "a" * 31, "a" * 32, "a" * 63])
NAMES = st.lists(PARTS, max_size=4).map("".join)


@given(name=NAMES, role=NAMES)
def test_policy_and_gateway_mean_the_same_by_a_name(
    shipped: RegoPolicy, name: str, role: str
) -> None:
    """A name one of them takes and the other refuses would be a hole or a riddle."""
    subject = MAY_ASK["subject"] | {"id": name, "roles": ["reader", role]}
    resource = MAY_ASK["resource"] | {"owner": name}
    question = MAY_ASK | {"subject": subject, "resource": resource}
    said = asyncio.run(shipped.decide_input(question))
    assert said.allow == (is_name(name) and is_role(role))


# An extension in C++ comes first, as in the gateway; then many answers, each to another question.
LEAKS = """
import json, sys
import ujson
from gateway.adapters import rego
from gateway.domain.policy import canonical

def pages():
    return int(open("/proc/self/statm").read().split()[1])

engine = rego._Engine(rego.read_policy_files(rego.default_policy_dir()))
document = json.loads(sys.argv[1])
for number in range(2500):
    if number == 500:
        settled = pages()
    document["subject"]["id"] = document["resource"]["owner"] = f"user-{number}"
    assert engine.answer(canonical(document))["allow"] is True
print((pages() - settled) * 4096)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_answers_leave_no_memory_behind() -> None:
    """Two thousand answers leaked 24 MB where regopy was loaded after another C++ library."""
    command = [sys.executable, "-c", LEAKS, json.dumps(MAY_ASK)]
    asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asked.communicate()
    assert asked.returncode == 0
    assert int(said) < 4_000_000
