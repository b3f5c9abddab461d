"""The policy, evaluated inside this process: OPA's compiler made Wasm of it, wasmtime runs it.

An answer takes 0.1 ms on the event loop; a thread of its own would cost more than that. Fuel ends a
policy that runs away (``wasm_instance.FUEL``). Whatever ends one without an answer is a denial by a
broken policy, and the next question is put to a fresh instance.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.adapters import policy_bundle, wasm_module
from gateway.adapters.policy_bundle import Bundle
from gateway.adapters.policy_input import InputPolicy
from gateway.adapters.wasm_instance import MissingFunctions, PolicyStopped, WasmInstance
from gateway.adapters.wasm_module import Handover, compiled
from gateway.domain.policy import PROBE, Decision, believe, canonical, is_sound
from gateway.errors import PolicyBroken

NOT_LOADED: Final = "none"
# By their directory: the policies that the supervisor had compiled last, for the workers it forks.
_last_good: dict[Path | None, Bundle] = {}
# The bundle that the supervisor read at its last reload, or why there was none: workers that were
# forked before it take over the same, whatever has become of the files since.
_handover: Handover | None = None
_GOOD, _BROKEN = b"+", b"-"


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
            bundle = _last_good.get(policy_dir) or _load(policy_dir)
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
        """Why what there is now is no policy; else ``reload`` takes over just that."""
        self._next = None
        try:
            self._next = await asyncio.to_thread(_prepare_next, self._policy_dir)
        except PolicyBroken as exc:
            return [_words(exc)]
        return []

    async def reload(self) -> None:
        """What ``faults`` has loaded last, else what there is now.

        Raises ``PolicyBroken`` when that is no policy, and then the old one stays.
        """
        found, self._next = self._next, None
        self._loaded = found or await asyncio.to_thread(_prepare_next, self._policy_dir)
        self._fault = None


def compile_ahead(policy_dir: Path | None) -> None:
    """In the process that forks workers: reads the policy and has it compiled, once for them all.

    Raises ``PolicyBroken``, and then the one of before is kept for workers that start later.
    """
    try:
        content = policy_bundle.read(policy_dir)
        bundle = policy_bundle.opened(content)
        _prepare(bundle)
    except PolicyBroken as exc:
        _hand_over(policy_dir, _BROKEN + _words(exc).encode(errors="replace"))
        raise
    _last_good[policy_dir] = bundle
    _hand_over(policy_dir, _GOOD + content)


def share_from_here() -> None:
    """In the process that will fork workers: what it reads and compiles from now on, they get."""
    global _handover
    wasm_module.share_from_here()
    _handover = Handover()


def _hand_over(policy_dir: Path | None, found: bytes) -> None:
    if _handover is not None:
        _handover.put(_key(policy_dir), found)


def _key(policy_dir: Path | None) -> bytes:
    return b"" if policy_dir is None else os.fsencode(policy_dir)


def _load(policy_dir: Path | None) -> Bundle:
    """As the supervisor read it at its last reload, else from the files.

    Raises ``PolicyBroken``.
    """
    found = None if _handover is None else _handover.get(_key(policy_dir))
    if found is None:
        return policy_bundle.load(policy_dir)
    if found[:1] == _BROKEN:
        raise PolicyBroken from ValueError(found[1:].decode())
    return policy_bundle.opened(found[1:])


def _words(fault: PolicyBroken) -> str:
    return str(fault.__cause__ or fault.message)


def _prepare_next(policy_dir: Path | None) -> _Loaded:
    """The policy that is to serve next. Raises ``PolicyBroken``."""
    return _prepare(_load(policy_dir))


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
