"""What any engine behind the port ``Policy`` must do; run on each of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.opa import OpaPolicy
from gateway.adapters.wasm_policy import WasmPolicy
from gateway.domain.actions import ACTIONS, PERSON_ONLY
from gateway.domain.policy import POLICY_BROKEN, Decision, PolicyQuestion, Resource, canonical
from gateway.errors import PolicyBroken, PolicyUnavailable

Golden = list[tuple[str, dict[str, Any]]]


def question(action: str, **fields: Any) -> PolicyQuestion:
    return PolicyQuestion(
        **{
            "subject": "ann",
            "tenant": "acme",
            "roles": frozenset({"admin"}),
            "scopes": None,
            "auth": "jwt",
            "action": action,
            "resource": Resource(type="thing", id=None, owner=None, tenant="acme"),
            "method": "GET",
            "route": "/api/v1/things",
            "ip": "192.0.2.7",
            **fields,
        }
    )


async def test_golden_inputs_get_the_same_verdict(shipped: Any, golden: Golden) -> None:
    """Every golden input has one verdict, whatever engine is asked, and no obligation."""
    assert len(golden) >= 60
    wrong = []
    for name, case in golden:
        decision = await shipped.decide_input(case["input"])
        got = {"allow": decision.allow, "reason": decision.reason}
        if got != case["expect"] or decision.obligations != {}:
            wrong.append((name, got))
    assert wrong == []


async def test_shipped_policy_is_sound(shipped: Any) -> None:
    """The policy that comes with the gateway passes its own readiness check."""
    await shipped.check()


async def test_admin_with_a_token_may_do_every_action(shipped: Any) -> None:
    """No action is in Python alone: each one is granted to somebody."""
    for action in sorted(ACTIONS):
        assert (await shipped.decide(question(action))).reason == "allowed", action


async def test_key_may_do_every_action_but_those_of_a_person(shipped: Any) -> None:
    """A key with every scope is denied exactly what takes a person."""
    for action in sorted(ACTIONS):
        asked = question(action, auth="api_key", scopes=ACTIONS)
        assert (await shipped.decide(asked)).allow is (action not in PERSON_ONLY), action


async def test_without_a_role_only_what_is_for_everyone(shipped: Any) -> None:
    """No role still may ask who it is, and log out, and nothing else."""
    for action in sorted(ACTIONS):
        asked = question(action, roles=frozenset())
        assert (await shipped.decide(asked)).allow is (action in ("auth:logout", "auth:me")), action


async def test_what_json_cannot_say_is_denied(shipped: Any) -> None:
    """A lone surrogate reaches no engine and is denied as malformed."""
    decision = await shipped.decide(question("auth:me", subject="ann\ud800"))
    assert (decision.allow, decision.reason) == (False, "malformed_input")


async def test_questions_at_once_get_their_own_answers(shipped: Any, golden: Golden) -> None:
    """Many questions under way together are never answered with another's verdict."""
    cases = [case for _, case in golden]
    decisions = await asyncio.gather(*(shipped.decide_input(case["input"]) for case in cases))
    assert [d.reason for d in decisions] == [case["expect"]["reason"] for case in cases]


async def test_every_decision_has_an_id_of_its_own(shipped: Any) -> None:
    """Two decisions can be told apart in the logs."""
    first, second = [await shipped.decide(question("auth:me")) for _ in range(2)]
    assert first.decision_id != second.decision_id


BROKEN = {
    "the rule allow is undefined": 'reason := "x"\nobligations := {}\nallow if input.never',
    "the rule reason is undefined": "allow := false\nobligations := {}",
    "obligations are undefined": 'allow := false\nreason := "x"',
    "two values for allow": (
        'reason := "x"\nobligations := {}\n'
        "allow := true if is_object(input)\nallow := false if is_object(input)"
    ),
    "allow is a string": 'reason := "x"\nobligations := {}\nallow := "true"',
    "allow is a number": 'reason := "x"\nobligations := {}\nallow := 1',
    "allow is an object": 'reason := "x"\nobligations := {}\nallow := {"allow": true}',
    "allow is null": 'reason := "x"\nobligations := {}\nallow := null',
    "reason is a number": "allow := true\nreason := 1\nobligations := {}",
    "obligations are a list": 'allow := true\nreason := "x"\nobligations := []',
}


@pytest.mark.parametrize("rules", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_policy_denies_and_says_so(
    engine_over: Callable[[Path], Any], policy_folder: Callable[..., Path], rules: str
) -> None:
    """A policy that loads and cannot answer denies everybody and fails the readiness check."""
    policy = engine_over(policy_folder(f"package gateway.authz\n\n{rules}\n"))
    decision = await policy.decide(question("auth:me"))
    assert (decision.allow, decision.reason) == (False, POLICY_BROKEN)
    with pytest.raises(PolicyBroken):
        await policy.check()


async def test_policy_of_another_package_denies(
    engine_over: Callable[[Path], Any], policy_folder: Callable[..., Path]
) -> None:
    """Nothing under the package's name is a broken policy, not an open door."""
    policy = engine_over(policy_folder("package gateway.other\n\nallow := true\n"))
    assert (await policy.decide(question("auth:me"))).reason == POLICY_BROKEN
    with pytest.raises(PolicyBroken):
        await policy.check()


async def test_policy_that_allows_an_empty_question_is_broken(
    engine_over: Callable[[Path], Any], policy_folder: Callable[..., Path]
) -> None:
    """A policy with no lock at all is told by the probe."""
    policy = engine_over(
        policy_folder('package gateway.authz\n\nallow := true\nreason := "x"\nobligations := {}\n')
    )
    with pytest.raises(PolicyBroken):
        await policy.check()


async def test_conflict_for_one_input_denies_that_input_only(
    engine_over: Callable[[Path], Any], policy_folder: Callable[..., Path]
) -> None:
    """A conflict that only some input meets denies there, and leaves no trace on the next."""
    policy = engine_over(
        policy_folder(
            'package gateway.authz\n\nreason := "x"\nobligations := {"note": "ü"}\n'
            'default allow := false\nallow if input.action == "query:run"\n'
            'allow := false if input.action == "query:run"\n'
            'allow if input.action == "auth:me"\n'
        )
    )
    await policy.check()
    assert (await policy.decide(question("query:run"))).reason == POLICY_BROKEN
    assert (await policy.decide(question("auth:me"))).allow is True
    assert (await policy.decide(question("keys:list"))).allow is False
    assert (await policy.decide(question("auth:me"))).obligations == {"note": "ü"}


async def test_operators_own_rules_and_data_are_read(
    engine_over: Callable[[Path], Any], policy_folder: Callable[..., Path]
) -> None:
    """``data.json`` is rooted at ``data``, text beyond ASCII is compared as such, and a rule more
    in the package does no harm."""
    policy = engine_over(
        policy_folder(
            'package gateway.authz\n\ndefault allow := false\nreason := "own"\nobligations := {}\n'
            "allow if input.action in data.gateway.open\nextra := 1\n",
            json.dumps({"gateway": {"open": ["auth:mé", 'a"\\b']}}),
        )
    )
    await policy.check()
    for action, allow in {"auth:mé": True, 'a"\\b': True, "auth:me": False, 'a"b': False}.items():
        assert (await policy.decide(question(action))).allow is allow, action


def mutated(document: Any, chance: random.Random) -> Any:
    """The document with one thing in it changed, somewhere."""
    if isinstance(document, dict) and document and chance.random() < 0.85:
        key = chance.choice(sorted(document))
        what = chance.random()
        if what < 0.1:
            return {k: v for k, v in document.items() if k != key}
        if what < 0.2:
            return {**document, chance.choice(["extra", "allow", "\0", key + " "]): True}
        return {**document, key: mutated(document[key], chance)}
    if isinstance(document, list) and document and chance.random() < 0.7:
        at = chance.randrange(len(document))
        return [*document[:at], mutated(document[at], chance), *document[at + 1 :]]
    if isinstance(document, str) and chance.random() < 0.7:
        at = chance.randrange(len(document) + 1)
        return document[:at] + chance.choice(ODD_TEXT) + document[at:]
    return chance.choice([None, True, False, 0, -1, 1.5, 10**20, "", "ann", [], {}, ["admin"], "a"])


ODD_TEXT = [
    "\0",
    "\n",
    "\\",
    '"',
    "\\u0061",
    "é",
    "A",
    " ",
    "/",
    ":",
    "%",
    "{",
    "$",
    "😀",
    "a",
    "*",
]


async def test_engines_agree_on_inputs_nobody_thought_of(
    client: Any, shipped_server: Any, golden: Golden
) -> None:
    """A golden input with a few random changes (seeded) gets one verdict from both engines."""
    chance = random.Random(20250101)
    on_opa = OpaPolicy(client, shipped_server.base_url, budget_s=60.0)
    embedded = WasmPolicy(None)
    for _ in range(500):
        document = chance.choice(golden)[1]["input"]
        for _ in range(chance.randint(1, 3)):
            document = mutated(document, chance)
        left, right = await on_opa.decide_input(document), await embedded.decide_input(document)
        assert verdict(left) == verdict(right), document


async def test_engines_agree_to_the_byte_on_golden_inputs(
    client: Any, shipped_server: Any, golden: Golden
) -> None:
    """The verdict with its reason and obligations, as JSON."""
    on_opa = OpaPolicy(client, shipped_server.base_url, budget_s=60.0)
    embedded = WasmPolicy(None)
    for name, case in golden:
        left = await on_opa.decide_input(case["input"])
        assert verdict(left) == verdict(await embedded.decide_input(case["input"])), name


def verdict(decision: Decision) -> bytes | None:
    """All that a policy says, in one spelling; the id is each decision's own."""
    return canonical([decision.allow, decision.reason, dict(decision.obligations)])


async def test_unavailable_is_never_confused_with_broken() -> None:
    """Readiness tells the two apart by type: broken is a kind of unavailable, not the reverse."""
    assert issubclass(PolicyBroken, PolicyUnavailable)
    assert not issubclass(PolicyUnavailable, PolicyBroken)
