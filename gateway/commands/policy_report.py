"""Which policy these settings serve: its engine, its revision, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.policy_bundle import NoCompiler
from gateway.adapters.wasm_instance import MissingFunctions
from gateway.adapters.wasm_module import engine_name
from gateway.adapters.wasm_policy import WasmPolicy
from gateway.errors import PolicyBroken
from gateway.settings import Fault, Settings


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """``missing`` names functions, or a program, that the policy needs and that are not here."""

    engine: str
    revision: str
    missing: Sequence[str] = ()
    faults: Sequence[Fault] = ()

    def __str__(self) -> str:
        return (
            f"\nPolicy in use\n  engine     {self.engine}\n  revision   {self.revision}"
            f"\n  missing    {', '.join(self.missing) or 'nothing'}"
        )


def policy_report(settings: Settings) -> PolicyReport:
    """Loads the policy as a worker does, where it is not an OPA server that has it."""
    if settings.services_opa is not None:
        return PolicyReport(
            f"an OPA server at {settings.services_opa}",
            "known to the server: `gateway check --connect` asks it",
        )
    return _embedded(settings.policy_dir)


def _embedded(policy_dir: Path | None) -> PolicyReport:
    try:
        engine = engine_name()
    except PolicyBroken as exc:
        return _refused("none", "none", exc)
    policy = WasmPolicy(policy_dir)
    if policy.fault is None:
        return PolicyReport(engine, policy.revision)
    return _refused(engine, policy.revision, policy.fault)


def _refused(engine: str, revision: str, fault: PolicyBroken) -> PolicyReport:
    cause = fault.__cause__
    missing: Sequence[str] = ()
    if isinstance(cause, MissingFunctions):
        missing = cause.names
    elif isinstance(cause, NoCompiler):
        missing = ("the program `opa`",)
    reason = " ".join(str(cause or fault.message).split())
    place = "GATEWAY_POLICY_DIR"
    return PolicyReport(engine, revision, missing, [Fault(place, None, f"a policy ({reason})")])
