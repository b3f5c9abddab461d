"""What is believed of an engine's answer, and how a question is spelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.actions import ACTIONS, PERSON_ONLY, for_any_owner
from gateway.domain.policy import (
    POLICY_BROKEN,
    PolicyQuestion,
    Resource,
    believe,
    canonical,
    is_sound,
)

# What the policy lets every caller do, whatever his roles are.
FOR_EVERYONE = frozenset({"auth:logout", "auth:me"})
OPA_DIR = Path(__file__).resolve().parents[3] / "opa"

ALLOWED: dict[str, Any] = {"allow": True, "reason": "allowed", "obligations": {}}


def test_allow_true_allows() -> None:
    """The one answer that lets a request through."""
    decision = believe({**ALLOWED, "obligations": {"ttl_s": 1}}, "d1")
    assert (decision.allow, decision.reason, decision.decision_id) == (True, "allowed", "d1")
    assert decision.obligations == {"ttl_s": 1}


def test_allow_false_denies_with_the_policys_reason() -> None:
    """A denial is the policy's, and so is its reason."""
    decision = believe({"allow": False, "reason": "role", "obligations": {}}, "d1")
    assert (decision.allow, decision.reason) == (False, "role")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        "true",
        1,
        [],
        [ALLOWED],
        {},
        {"result": ALLOWED},
        *({k: v for k, v in ALLOWED.items() if k != gone} for gone in ALLOWED),
        *({**ALLOWED, "allow": odd} for odd in (None, 1, 1.0, "true", "True", [True], {"a": True})),
        *({**ALLOWED, "reason": odd} for odd in (None, 1, True, ["allowed"])),
        *({**ALLOWED, "obligations": odd} for odd in (None, 1, True, [], "{}")),
    ],
)
def test_any_other_answer_is_a_broken_policy(answer: object) -> None:
    """Only the boolean true allows; what is not the whole document denies."""
    decision = believe(answer, "d1")
    assert (decision.allow, decision.reason, decision.decision_id) == (False, POLICY_BROKEN, "d1")
    assert not is_sound(decision)


def test_field_more_says_nothing() -> None:
    """An operator's own rules in the package change no verdict."""
    assert believe({**ALLOWED, "deny": True}, "d1").allow is True


def test_sound_policy_denies_the_probe() -> None:
    """A policy that allows an empty question is none."""
    assert is_sound(believe({"allow": False, "reason": "x", "obligations": {}}, "d1"))
    assert not is_sound(believe(ALLOWED, "d1"))


def test_input_has_the_contracts_shape_and_one_spelling() -> None:
    """Sets come sorted, keys too: the same question is the same bytes."""
    resource = Resource(type="document", id=None, owner=None, tenant="acme")
    asked = PolicyQuestion(
        subject="ann",
        tenant="acme",
        roles=frozenset({"reader", "admin", "editor"}),
        scopes=frozenset({"query:run", "auth:me"}),
        auth="api_key",
        action="query:run",
        resource=resource,
        method="POST",
        route="/api/v1/query",
        ip="::1",
    ).as_input()
    assert asked == {
        "subject": {
            "id": "ann",
            "tenant": "acme",
            "roles": ["admin", "editor", "reader"],
            "scopes": ["auth:me", "query:run"],
            "auth": "api_key",
        },
        "action": "query:run",
        "resource": {"type": "document", "id": None, "owner": None, "tenant": "acme"},
        "request": {"method": "POST", "route": "/api/v1/query", "ip": "::1"},
    }
    backwards = dict(reversed(asked.items()))
    assert canonical(asked) == canonical(backwards)


def test_canonical_text_is_plain_utf8() -> None:
    """Escapes only where JSON needs them."""
    assert canonical({"b": "é", "a": 'q"\n'}) == '{"a":"q\\"\\n","b":"é"}'.encode()


@pytest.mark.parametrize("odd", ["\ud800", float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_say_has_no_spelling(odd: object) -> None:
    """No engine ever gets to interpret it."""
    assert canonical({"x": odd}) is None


def test_actions_are_those_of_the_policys_data() -> None:
    """Python's list and the roles' list name the same actions; no role lists what all may do."""
    roles = json.loads((OPA_DIR / "data.json").read_text(encoding="utf-8"))["gateway"]["roles"]
    granted = {action for actions in roles.values() for action in actions}
    assert granted == ACTIONS - FOR_EVERYONE
    assert set(roles) == {"reader", "editor", "admin"}
    assert all(len(actions) == len(set(actions)) for actions in roles.values())


def test_documentation_has_the_roles_as_they_are() -> None:
    """The table for people and the data for the policy say the same."""
    roles = json.loads((OPA_DIR / "data.json").read_text(encoding="utf-8"))["gateway"]["roles"]
    page = (OPA_DIR.parent / "docs" / "policy.md").read_text(encoding="utf-8")
    shown = {
        (cells[0].split("`")[1], role): cell == "yes"
        for line in page.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 4
        and cells[0].startswith("`")
        for role, cell in zip(("reader", "editor", "admin"), cells[1:], strict=True)
    }
    granted = {
        (action, role): action in FOR_EVERYONE or action in actions
        for role, actions in roles.items()
        for action in ACTIONS
    }
    assert shown == granted


def test_documentation_explains_every_reason() -> None:
    """Whatever reason is in a log, the page says what it means."""
    page = (OPA_DIR.parent / "docs" / "policy.md").read_text(encoding="utf-8")
    cases = [
        case
        for path in (OPA_DIR / "golden").glob("*.json")
        for cases in json.loads(path.read_text(encoding="utf-8")).values()
        for case in cases
    ]
    for reason in {case["expect"]["reason"] for case in cases} | {POLICY_BROKEN}:
        assert f"| `{reason}` |" in page


def test_special_actions_are_actions() -> None:
    """The lists beside the list name nothing that is not on it."""
    assert FOR_EVERYONE | PERSON_ONLY <= ACTIONS
    any_owners = {action for action in ACTIONS if action.endswith(":any-owner")}
    assert any_owners <= {for_any_owner(action) for action in ACTIONS}


def test_only_data_json_holds_data() -> None:
    """Both engines load the same data: OPA would take any other JSON or YAML file as well."""
    data = {
        path.relative_to(OPA_DIR).as_posix()
        for pattern in ("*.json", "*.yaml", "*.yml")
        for path in OPA_DIR.rglob(pattern)
        if "golden" not in path.parts
    }
    assert data == {"data.json"}
