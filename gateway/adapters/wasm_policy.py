"""The policy, evaluated inside this process: OPA's compiler made Wasm of it, wasmtime runs it.

An answer takes 0.1 ms on the event loop; a thread of its own would cost more than that. Fuel ends a
policy that runs away (``wasm_instance.FUEL``). Whatever ends one without an answer is a denial by a
broken policy, and the next question is put to a fresh instance.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.adapters import policy_bundle
from gateway.adapters.policy_bundle import Bundle
from gateway.adapters.policy_input import InputPolicy
from gateway.adapters.wasm_instance import MissingFunctions, PolicyStopped, WasmInstance
from gateway.adapters.wasm_module import compiled
from gateway.domain.policy import PROBE, Decision, believe, canonical, is_sound
from gateway.errors import PolicyBroken

NOT_LOADED: Final = "none"
# By their directory: the policies that the supervisor had compiled last, for the workers it forks.
_last_good: dict[Path | None, Bundle] = {}


@dataclass(slots=True)
class _Loaded:
    """A policy that serves. ``stopped`` is whether its instance ended without an answer."""

    revision: str
    instance: WasmInstance
    stopped: bool = False

    def answer(self, text: bytes) -> object:
        """The document ``gateway.authz``; ``None`` when it has none, or the policy was stopped."""
        try:
            if self.stopped:
                self.instance = self.instance.successor()
            self.stopped = True
            found = self.instance.ask(text)
        except PolicyStopped:
            return None
        self.stopped = False
        return found


class WasmPolicy(InputPolicy):
    """``PolicyEngine`` in this process.

    A policy with an error is not loaded: everybody is denied, and ``check`` fails.

    Args:
        policy_dir: holds the operator's own policy; see ``policy_bundle.load``. ``None`` for the
            default one.
    """

    def __init__(self, policy_dir: Path | None) -> None:
        self._policy_dir = policy_dir
        self._loaded: _Loaded | None = None
        self._next: _Loaded | None = None
        self._fault: PolicyBroken | None = None
        try:
            # What the others serve, whatever has become of the files since.
            bundle = _last_good.get(policy_dir) or policy_bundle.load(policy_dir)
            self._loaded = _prepare(bundle)
        except PolicyBroken as exc:
            self._fault = exc

    @property
    def revision(self) -> str:
        """The bundle's revision; a constant while no policy is loaded."""
        return NOT_LOADED if self._loaded is None else self._loaded.revision

    @property
    def fault(self) -> PolicyBroken | None:
        """Why no policy is loaded; its cause says more."""
        return self._fault

    async def _evaluate(self, text: bytes, decision_id: str) -> Decision:
        answer = None if self._loaded is None else self._loaded.answer(text)
        return believe(answer, decision_id)

    async def check(self) -> None:
        if self._fault is not None:
            raise PolicyBroken from self._fault.__cause__
        await self._check_answers()

    async def faults(self) -> list[str]:
        """Why the files, as they are now, are no policy; else ``reload`` takes over just these."""
        self._next = None
        try:
            self._next = await asyncio.to_thread(_prepare_files, self._policy_dir)
        except PolicyBroken as exc:
            return [str(exc.__cause__ or exc.message)]
        return []

    async def reload(self) -> None:
        """What ``faults`` has loaded last, else the files as they are now.

        Raises ``PolicyBroken`` when they are no policy, and then the old one stays.
        """
        found, self._next = self._next, None
        self._loaded = found or await asyncio.to_thread(_prepare_files, self._policy_dir)
        self._fault = None


def compile_ahead(policy_dir: Path | None) -> None:
    """In the process that forks workers: has the policy compiled, so that they need not.

    Raises ``PolicyBroken``, and then the one of before is kept for workers that start later.
    """
    bundle = policy_bundle.load(policy_dir)
    _prepare(bundle)
    _last_good[policy_dir] = bundle


def _prepare_files(policy_dir: Path | None) -> _Loaded:
    """The policy as its files are now. Raises ``PolicyBroken``."""
    return _prepare(policy_bundle.load(policy_dir))


def _prepare(bundle: Bundle) -> _Loaded:
    """The policy, once it has denied the probe. Raises ``PolicyBroken``."""
    module = compiled(bundle.wasm)
    try:
        instance = WasmInstance(module, bundle.data)
        answer = instance.ask(canonical(PROBE) or b"")
    except (PolicyStopped, MissingFunctions) as exc:
        raise PolicyBroken from exc
    if not is_sound(believe(answer, NOT_LOADED)):
        raise PolicyBroken from ValueError("the policy does not deny an empty question")
    return _Loaded(bundle.revision, instance)
