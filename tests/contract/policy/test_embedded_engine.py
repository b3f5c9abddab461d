"""What only the embedded engine has: bundles to read, a reload, functions of ours, fuel."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.opa import OpaPolicy
from gateway.adapters.policy_bundle import BUNDLE_NAME, build_with, load, parse
from gateway.adapters.wasm_instance import FUEL, PolicyStopped, WasmInstance
from gateway.adapters.wasm_module import compiled
from gateway.adapters.wasm_policy import NOT_LOADED, WasmPolicy
from gateway.domain.identity import is_name, is_role
from gateway.domain.policy import MALFORMED_INPUT, POLICY_BROKEN, canonical
from gateway.errors import PolicyBroken

pytestmark = pytest.mark.usefixtures("opa_on_path")

OPEN_TO = """package gateway.authz

reason := "x"
obligations := {{}}
default allow := false
allow if input.who == "{}"
"""
MAY_ASK: dict[str, Any] = {
    "subject": {"id": "", "tenant": "acme", "roles": ["reader"], "scopes": None, "auth": "jwt"},
    "action": "query:run",
    "resource": {"type": "query", "id": None, "owner": "", "tenant": "acme"},
    "request": {"method": "POST", "route": "/api/v1/query", "ip": "127.0.0.1"},
}
SYNTAX_ERROR = "package gateway.authz\n\nallow if {{\n"
# What every policy below has besides what it is about.
PLAIN = 'package gateway.authz\n\ndefault allow := false\nreason := "x"\n'

Write = Callable[..., Path]


def packed(opa: Path, folder: Path, *arguments: str) -> Path:
    """``folder`` with the bundle of its Rego in the Rego's place."""
    (folder / BUNDLE_NAME).write_bytes(build_with(opa, folder, *arguments))
    for rego in folder.rglob("*.rego"):
        rego.unlink()
    return folder


# --- what is no policy ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rego",
    [SYNTAX_ERROR, "", "package gateway.authz\n\nallow if no_such_function(1)\n", "\0"],
    ids=["syntax", "empty file", "unknown function", "binary"],
)
async def test_policy_that_does_not_compile_denies_and_says_so(
    policy_folder: Write, capfd: pytest.CaptureFixture[str], rego: str
) -> None:
    """The gateway starts on a policy it cannot read, denies everybody, and is not ready."""
    policy = WasmPolicy(policy_folder(rego))
    assert (await policy.decide_input({})).reason == POLICY_BROKEN
    assert policy.revision == NOT_LOADED
    with pytest.raises(PolicyBroken) as caught:
        await policy.check()
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [None, b"", b"no bundle", b"\x1f\x8b\x08", b"PK\x03\x04"])
async def test_what_is_no_bundle_denies_and_says_so(tmp_path: Path, content: bytes | None) -> None:
    """No file at all, an empty one, half of one: no policy is a broken one."""
    if content is not None:
        (tmp_path / BUNDLE_NAME).write_bytes(content)
    policy = WasmPolicy(tmp_path)
    assert (await policy.decide_input({})).reason == POLICY_BROKEN
    with pytest.raises(PolicyBroken):
        await policy.check()


@pytest.mark.parametrize("data", ["", "[]", "{", "null"])
async def test_data_that_cannot_be_read_denies_and_says_so(policy_folder: Write, data: str) -> None:
    """A policy without the data it was written for is not asked at all."""
    folder = policy_folder(OPEN_TO.format("ann"))
    (folder / "data.json").write_text(data)
    policy = WasmPolicy(folder)
    assert (await policy.decide_input({"who": "ann"})).reason == POLICY_BROKEN
    with pytest.raises(PolicyBroken):
        await policy.check()


def test_a_bundle_without_wasm_names_what_it_lacks(policy_folder: Write, opa_program: Path) -> None:
    """``opa build`` without ``-t wasm`` makes one of Rego alone."""
    folder = policy_folder(OPEN_TO.format("ann"))
    packed(opa_program, folder, "-t", "rego")
    with pytest.raises(PolicyBroken) as caught:
        load(folder)
    assert "-t wasm" in str(caught.value.__cause__)


def test_rego_beside_a_bundle_is_refused(policy_folder: Write, opa_program: Path) -> None:
    """Nobody could tell which of them is served."""
    folder = packed(opa_program, policy_folder(OPEN_TO.format("ann")))
    policy_folder(OPEN_TO.format("bob"))
    with pytest.raises(PolicyBroken) as caught:
        load(folder)
    assert "keep one" in str(caught.value.__cause__)


async def test_functions_that_only_a_server_has_are_refused_by_name(policy_folder: Write) -> None:
    """At load, and not at the first question that needs them."""
    rego = (
        f"{PLAIN}obligations := {{}}\n"
        'allow if http.send({"method": "get", "url": "http://127.0.0.1:1"}).status_code == 200\n'
        'allow if io.jwt.decode(input.token)[1].admin\nallow if sprintf("%d", [1]) == "2"\n'
    )
    policy = WasmPolicy(policy_folder(rego))
    with pytest.raises(PolicyBroken) as caught:
        await policy.check()
    said = str(caught.value.__cause__)
    assert "http.send, io.jwt.decode," in said
    assert "sprintf" not in said
    assert "GATEWAY_SERVICES_OPA" in said
    assert (await policy.decide_input({})).reason == POLICY_BROKEN


def test_without_opa_the_command_to_run_is_told(
    policy_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rego needs OPA's compiler; with its bundle the gateway needs nothing."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PolicyBroken) as caught:
        load(policy_folder(OPEN_TO.format("ann")))
    assert "opa build -t wasm -e gateway/authz -b" in str(caught.value.__cause__)


# --- bundles and reloads --------------------------------------------------------------------------


async def test_a_bundle_decides_under_its_own_revision(
    policy_folder: Write, opa_program: Path
) -> None:
    """As ``opa build -r`` named it; reloaded, the next one decides under its own."""
    data = '{"gateway": {"open": "ann"}}'
    rules = OPEN_TO.replace('"{}"', "data.gateway.open").format()
    folder = packed(opa_program, policy_folder(rules, data), "-r", "v7")
    policy = WasmPolicy(folder)
    await policy.check()
    assert policy.revision == "v7"
    assert (await policy.decide_input({"who": "ann"})).allow is True
    (folder / BUNDLE_NAME).unlink()
    packed(opa_program, policy_folder(rules, data.replace("ann", "bob")), "-r", "v8")
    await policy.reload()
    assert policy.revision == "v8"
    assert (await policy.decide_input({"who": "ann"})).allow is False
    assert (await policy.decide_input({"who": "bob"})).allow is True


async def test_reload_takes_the_new_policy(policy_folder: Write) -> None:
    """After a reload the new rules decide, under a new revision."""
    policy = WasmPolicy(policy_folder(OPEN_TO.format("ann")))
    before = policy.revision
    policy_folder(OPEN_TO.format("bob"))
    assert (await policy.decide_input({"who": "bob"})).allow is False
    assert await policy.faults() == []
    assert policy.revision == before
    await policy.reload()
    assert (await policy.decide_input({"who": "bob"})).allow is True
    assert (await policy.decide_input({"who": "ann"})).allow is False
    assert policy.revision != before


async def test_what_was_found_good_is_what_is_taken_over(policy_folder: Write) -> None:
    """Whatever becomes of the files in between: all of a reload is taken over, or nothing."""
    policy = WasmPolicy(policy_folder(OPEN_TO.format("ann")))
    policy_folder(OPEN_TO.format("bob"))
    assert await policy.faults() == []
    policy_folder(SYNTAX_ERROR)
    await policy.reload()
    assert (await policy.decide_input({"who": "bob"})).allow is True
    assert len(await policy.faults()) == 1
    with pytest.raises(PolicyBroken):
        await policy.reload()


@pytest.mark.parametrize(
    "bad",
    [SYNTAX_ERROR, "package other\n", OPEN_TO.format("ann").replace("== ", "!= ") + "allow := 1\n"],
    ids=["syntax", "another package", "conflict"],
)
async def test_bad_reload_keeps_the_old_policy(policy_folder: Write, bad: str) -> None:
    """A reload that fails says so and changes nothing."""
    policy = WasmPolicy(policy_folder(OPEN_TO.format("ann")))
    before = policy.revision
    policy_folder(bad)
    assert len(await policy.faults()) == 1
    with pytest.raises(PolicyBroken):
        await policy.reload()
    assert policy.revision == before
    assert (await policy.decide_input({"who": "ann"})).allow is True
    await policy.check()


async def test_reload_mends_a_broken_start(policy_folder: Write) -> None:
    """A policy that was broken at the start is ready as soon as it is mended."""
    policy = WasmPolicy(policy_folder(SYNTAX_ERROR))
    policy_folder(OPEN_TO.format("ann"))
    await policy.reload()
    await policy.check()
    assert (await policy.decide_input({"who": "ann"})).allow is True


async def test_questions_during_reloads_get_answers(policy_folder: Write) -> None:
    """A reload under load leaves no question without its verdict."""
    policy = WasmPolicy(policy_folder(OPEN_TO.format("ann")))
    done = asyncio.Event()

    async def ask() -> list[bool]:
        answers = []
        while not done.is_set():
            answers.append((await policy.decide_input({"who": "ann"})).allow)
            await asyncio.sleep(0)
        return answers

    async def reload() -> list[bool]:
        for _ in range(3):
            await policy.reload()
        done.set()
        return [True]

    answers = await asyncio.gather(ask(), ask(), reload(), ask())
    assert all(some and all(some) for some in answers)


def test_revision_is_the_content(policy_folder: Write) -> None:
    """The same rules and data have one revision, and data alone makes another."""
    folder = policy_folder(OPEN_TO.format("ann"), '{"a": 1, "b": 2}')
    first = load(folder).revision
    policy_folder(OPEN_TO.format("ann"), '{"b": 2, "a": 1}')
    assert load(folder).revision == first
    policy_folder(OPEN_TO.format("ann"), '{"b": 2, "a": 2}')
    assert load(folder).revision != first


def test_what_kubernetes_mounts_is_compiled_once(policy_folder: Write, tmp_path: Path) -> None:
    """A mounted file is a link into a hidden copy, which is not a second policy."""
    source = policy_folder(OPEN_TO.format("ann"))
    mount = tmp_path / "mounted"
    hidden = mount / "..2026_01_01"
    hidden.mkdir(parents=True)
    (mount / "..data").symlink_to(hidden.name)
    for name in ("authz.rego", "data.json"):
        (hidden / name).write_text((source / name).read_text())
        (mount / name).symlink_to(Path("..data") / name)
    assert WasmPolicy(mount).fault is None


# --- the policy that comes with the gateway -------------------------------------------------------


def test_default_bundle_is_what_opa_makes_of_the_rego(
    opa_program: Path, policy_source: Path
) -> None:
    """Built again with the pinned OPA (tools/go.mod): the same rules, data and revision."""
    from devstack.components import program_version
    from devstack.fetch import pins

    [pin] = [pin for pin in pins() if pin.program == "opa"]
    assert f"v{program_version(opa_program)}" == pin.version
    assert parse(build_with(opa_program, policy_source)) == load(None), (
        "the Rego is newer than its bundle: python -m tools.build_policy"
    )


def test_default_bundle_needs_no_function_of_ours() -> None:
    """So its decisions cost no Python, and no later OPA can change what they mean."""
    bundle = load(None)
    module = compiled(bundle.wasm)
    assert WasmInstance(module, bundle.data).needs == ()


PARTS = st.sampled_from([*"ab09_-AZ\\\n\t\0\"'é $^.", "a" * 31, "a" * 32, "a" * 63])
NAMES = st.lists(PARTS, max_size=4).map("".join)


@pytest.fixture(scope="module")
def default() -> WasmPolicy:
    return WasmPolicy(None)


@given(name=NAMES, role=NAMES)
def test_policy_and_gateway_mean_the_same_by_a_name(
    default: WasmPolicy, name: str, role: str
) -> None:
    """A name one of them takes and the other refuses would be a hole or a riddle."""
    subject = MAY_ASK["subject"] | {"id": name, "roles": ["reader", role]}
    resource = MAY_ASK["resource"] | {"owner": name}
    question = MAY_ASK | {"subject": subject, "resource": resource}
    said = asyncio.run(default.decide_input(question))
    assert said.allow == (is_name(name) and is_role(role))


# --- what it is told, and what it says ------------------------------------------------------------

ECHO = f'{PLAIN}obligations := {{"input": input}}\n'
AS_SPELLED = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def echo(opa_program: Path, tmp_path_factory: pytest.TempPathFactory) -> WasmPolicy:
    folder = tmp_path_factory.mktemp("echo")
    (folder / "echo.rego").write_text(ECHO)
    return WasmPolicy(packed(opa_program, folder))


@given(document=AS_SPELLED)
@example(document="ann\0x")
@example(document="ann\\u0000x")
@example(document=[2**63, -(2**63) - 1, 0.5])
@example(document={"ann": "\n", '"': "\\"})
def test_input_means_what_it_spells(echo: WasmPolicy, document: object) -> None:
    """The policy sees every text and number as it is; only what JSON cannot say it never sees."""
    said = asyncio.run(echo.decide_input(document))
    if canonical(document) is None:
        assert said.reason == MALFORMED_INPUT
    else:
        assert said.obligations["input"] == document


# Each of them is OPA's own in the module, or one of ours.
RICH = f"""{PLAIN}
obligations := {{
	"cidr": net.cidr_contains("10.0.0.0/8", "10.1.2.3"),
	"glob": glob.match("doc:*", [":"], "doc:1"),
	"regex": regex.find_all_string_submatch_n("[a-z]([0-9]+)", "a1b22", -1),
	"upper": upper("straße"),
	"set": {{3, 1, "b", [1, 2], null}},
	"sorted": sort([3, 1, 2]),
	"big": 100000000000000000000000 + 1,
	"units": sum([0.1, 0.2]),
	"json": json.unmarshal("{{\\"b\\": [1.50]}}"),
	"said": sprintf("%s %d %v %q %05.1f %x", ["ü", 7, {{"b": {{2, 1}}}}, "a\\"b", 2.25, 255]),
	"short": sprintf("%d%%", []),
	"type": sprintf("%s", "no list"),
	"same": time.now_ns() == time.now_ns(),
	"year": time.now_ns() > 1700000000000000000,
}}
"""


async def test_answers_are_those_of_an_opa_server(
    serve: Callable[..., Any], policy_folder: Write, client: httpx.AsyncClient
) -> None:
    """Sets, big numbers, OPA's own functions and ours, and one that is undefined for its input."""
    for rego in (RICH.replace('\t"type": sprintf("%s", "no list"),\n', ""), ECHO):
        folder = policy_folder(rego)
        on_opa = OpaPolicy(client, serve(folder).base_url, budget_s=60.0)
        embedded = WasmPolicy(folder)
        for document in ({}, MAY_ASK, [1.50, 1e3, 10**25], "é\0"):
            left, right = await on_opa.decide_input(document), await embedded.decide_input(document)
            said = [canonical(dict(one.obligations)) for one in (left, right)]
            assert said[0] == said[1]
            assert (left.allow, left.reason) == (right.allow, right.reason)


# --- what stops it --------------------------------------------------------------------------------

RUNAWAYS = {
    "loops": "obligations := {} if {\n\tn := numbers.range(1, 1000000)\n"
    "\tcount([1 | n[_]; n[_]]) > 0\n}\n",
    "text": "obligations := {} if {\n\tn := numbers.range(1, 1000000)\n"
    '\tconcat("", ["aaaaaaaaaaaaaaaa" | n[_]]) != ""\n}\n',
    "patterns": "obligations := {} if {\n\tsome i in numbers.range(1, 1000000)\n"
    '\tregex.match(concat("", ["^(a|b|[a-z]){1,500}", "$"]), sprintf("a%d", [i]))\n\ti < 0\n}\n',
    "our functions": "obligations := {} if {\n\tsome i in numbers.range(1, 3000)\n"
    '\tsprintf("%0900d", [i]) == ""\n}\n',
    "our clock": "obligations := {} if {\n\tsome i in numbers.range(1, 3000)\n"
    "\ttime.now_ns() == i\n}\n",
    "one long text": "obligations := {} if {\n\tsome i in numbers.range(1, 3000)\n"
    '\tsprintf("%999999d", [i]) == ""\n}\n',
}


@pytest.mark.parametrize("rules", RUNAWAYS.values(), ids=RUNAWAYS.keys())
async def test_a_policy_that_runs_away_is_stopped_within_the_call(
    policy_folder: Write, rules: str
) -> None:
    """By fuel, whatever it does; the question is denied, and the next one is answered."""
    policy = WasmPolicy(policy_folder(PLAIN + "default obligations := {}\n" + stuck_for_ann(rules)))
    assert policy.fault is None
    assert (await policy.decide_input({"who": "ann"})).reason == POLICY_BROKEN
    assert (await policy.decide_input({"who": "bob"})).reason == "x"
    await policy.check()


async def test_a_stopped_policy_begins_again_with_its_data(policy_folder: Write) -> None:
    """As if it had never been asked; the data need not be read again."""
    rules = stuck_for_ann(RUNAWAYS["loops"]).replace('"ann"', "data.gateway.stuck")
    known = "default obligations := {}\nallow if input.who in data.gateway.users\n"
    data = {"gateway": {"stuck": "ann", "users": [f"user-{number}" for number in range(2000)]}}
    policy = WasmPolicy(policy_folder(f"{PLAIN}{known}{rules}", json.dumps(data)))
    for number in (0, 1999):
        assert (await policy.decide_input({"who": "ann"})).reason == POLICY_BROKEN
        assert (await policy.decide_input({"who": f"user-{number}"})).allow is True
        assert (await policy.decide_input({"who": "eve"})).allow is False


def stuck_for_ann(rules: str) -> str:
    return rules.replace(" if {\n", ' if {\n\tinput.who == "ann"\n', 1)


def test_fuel_is_the_same_for_every_question(policy_folder: Write) -> None:
    """What one question used up is not missing to the next."""
    bundle = load(policy_folder(ECHO))
    instance = WasmInstance(compiled(bundle.wasm), bundle.data)
    text = canonical(["a" * 100] * 100) or b""
    # The first one may have to make the memory larger.
    instance.ask(text)
    instance.ask(text)
    used = FUEL - instance.fuel_left
    for _ in range(3 * FUEL // used):
        instance.ask(text)
    assert FUEL - instance.fuel_left == used


def test_deep_input_stops_the_policy_and_not_the_process(policy_folder: Write) -> None:
    """A stack that overflows inside the Wasm is a trap like any other."""
    bundle = load(policy_folder(ECHO))
    instance = WasmInstance(compiled(bundle.wasm), bundle.data)
    with pytest.raises(PolicyStopped):
        instance.ask(b"[" * 200_000 + b"]" * 200_000)


# The handler is there before the first trap and after the first engine, as in a worker.
TRAPS = """
import faulthandler, sys
from pathlib import Path
from gateway.adapters.wasm_policy import WasmPolicy
import asyncio
policy = WasmPolicy(Path(sys.argv[1]))
faulthandler.enable()
for who in ("ann", "bob"):
    print(asyncio.run(policy.decide_input({"who": who})).reason)
"""


async def test_a_trap_ends_no_process_that_prints_its_stack_when_it_dies(
    policy_folder: Write,
) -> None:
    """A worker enables ``faulthandler`` after the supervisor has made the engine."""
    rules = stuck_for_ann(RUNAWAYS["loops"])
    folder = policy_folder(f"{PLAIN}default obligations := {{}}\n{rules}")
    command = [sys.executable, "-c", TRAPS, str(folder)]
    asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asked.communicate()
    assert (asked.returncode, said.split()) == (0, [POLICY_BROKEN.encode(), b"x"])


# Many answers, each to another question; some of them stop the policy.
LEAKS = """
import json, sys
from gateway.adapters import policy_bundle
from gateway.adapters.wasm_instance import WasmInstance
from gateway.adapters.wasm_module import compiled
from gateway.domain.policy import canonical

def pages():
    return int(open("/proc/self/statm").read().split()[1])

bundle = policy_bundle.load(None)
instance = WasmInstance(compiled(bundle.wasm), bundle.data)
document = json.loads(sys.argv[1])
for number in range(4000):
    if number == 1000:
        settled = pages()
    if number % 20 == 0:
        instance = instance.successor()
    document["subject"]["id"] = document["resource"]["owner"] = f"user-{number}"
    assert instance.ask(canonical(document))["allow"] is True
print((pages() - settled) * 4096)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_answers_and_instances_leave_no_memory_behind() -> None:
    """Neither an answer nor an instance that was replaced takes memory for good."""
    command = [sys.executable, "-c", LEAKS, json.dumps(MAY_ASK)]
    asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asked.communicate()
    assert asked.returncode == 0
    assert int(said) < 4_000_000


# --- sprintf --------------------------------------------------------------------------------------

SAID = f"""{PLAIN}
obligations := {{"said": [sprintf(one.pattern, one.values) | some one in input.cases]}}
"""
FLAGS = ["", "", "-", "+", "#", " ", "0", "-0", "+#", "# ", "0+", "- "]
WIDTHS, PRECISIONS = ["", "", "1", "5", "20"], ["", "", ".", ".0", ".1", ".3", ".10"]
TEXTS: list[Any] = ["", "a", "hello wörld", 'a\nb\t"q"\\ `', "日本語", "\0x", "\u200b\u00a0😀"]
WHOLE: list[Any] = [0, 1, -1, 255, -255, 33, 9731, 0x10FFFF, 0xD800, 2**31, -(2**63), 2**63 - 1]
FLOATS: list[Any] = [1.5, -2.25, 0.1, 1e6, 1e20, 1e21, 1e-4, 1e-5, 123456.789, 1e100, 2.0]
OTHERS: list[Any] = [True, None, {}, [], [1, "a", {"b": [2.5]}], {"k": "v, x: y", "a": 1}]


def conversion(chance: random.Random, verbs: str, *, sharp: bool = True) -> str:
    flags = chance.choice([flags for flags in FLAGS if sharp or "#" not in flags])
    return f"%{flags}{chance.choice(WIDTHS)}{chance.choice(PRECISIONS)}{chance.choice(verbs)}"


def formatted_case(chance: random.Random) -> dict[str, Any]:
    """A pattern with its values: of the right types, of wrong ones, too few and too many."""
    pattern, values = [], []
    for _ in range(chance.randint(0, 4)):
        value = chance.choice(chance.choice([TEXTS, WHOLE, FLOATS, OTHERS]))
        is_float = isinstance(value, float)
        verbs = "vdsqocOUteEfFgGT!z" if is_float else "vdsqxXobOctUeEfFgGTp!z"
        pattern += [chance.choice(["", "é "]), conversion(chance, verbs, sharp=not is_float)]
        values.append(value)
    if chance.random() < 0.2:
        values.append(chance.choice(OTHERS + TEXTS + WHOLE))
    elif chance.random() < 0.1:
        pattern.append("%d")
    return {"pattern": "".join(pattern) + chance.choice(["", "%%", " %", "."]), "values": values}


async def test_sprintf_says_what_opas_says(
    serve: Callable[..., Any], policy_folder: Write, client: httpx.AsyncClient
) -> None:
    """Two thousand seeded patterns, letter for letter."""
    chance = random.Random(20260711)
    folder = policy_folder(SAID)
    on_opa = OpaPolicy(client, serve(folder).base_url, budget_s=60.0)
    embedded = WasmPolicy(folder)
    for _ in range(100):
        cases = [formatted_case(chance) for _ in range(20)]
        left = await on_opa.decide_input({"cases": cases})
        right = await embedded.decide_input({"cases": cases})
        both = zip(left.obligations["said"], right.obligations["said"], strict=True)
        for case, (theirs, ours) in zip(cases, both, strict=True):
            assert theirs == ours, case


# What a supervisor does: read, share, fork, read again; and its worker, which reads no files.
FORKS = """
import asyncio, os, sys
from pathlib import Path
from gateway.adapters.wasm_policy import WasmPolicy, compile_ahead, share_from_here

folder = Path(sys.argv[1])
rules = (folder / "authz.rego").read_text()
compile_ahead(folder)
share_from_here()
waits, told = os.pipe()
says, said = os.pipe()
worker = os.fork()
if worker == 0:
    policy = WasmPolicy(folder)
    async def allowed(who):
        return (await policy.decide_input({"who": who})).allow
    async def main():
        os.read(waits, 1)
        assert await policy.faults() == []
        await policy.reload()
        assert await allowed("bob") and not await allowed("ann")
        os.write(said, b".")
        os.read(waits, 1)
        (fault,) = await policy.faults()
        assert "neither" in fault, fault
        assert await allowed("bob")
    asyncio.run(main())
    os._exit(0)
(folder / "authz.rego").write_text(rules.replace("ann", "bob"))
compile_ahead(folder)
(folder / "authz.rego").unlink()
os.write(told, b".")
os.read(says, 1)
try:
    compile_ahead(folder)
except Exception:
    (folder / "authz.rego").write_text(rules)
os.write(told, b".")
late = os.fork()
if late == 0:
    os._exit(not asyncio.run(WasmPolicy(folder).decide_input({"who": "bob"})).allow)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (worker, late)))
"""


def test_workers_serve_what_the_supervisor_read(policy_folder: Write) -> None:
    """Whatever has become of the files by the time that they reload, or are started."""
    folder = policy_folder(OPEN_TO.format("ann"))
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
