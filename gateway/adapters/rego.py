"""The policy, evaluated inside this process by regopy (rego-cpp); no server needed.

One interpreter on a thread of its own, which builds it, asks it and drops it. Two threads in one
interpreter crash the process, and a thread that is the only one needs no lock. It is not the event
loop's thread: an answer takes 0.6 ms of native code, and 0.2 ms more to get there and back
(measured on two shared cores); the native code holds no GIL, so that streams go on meanwhile, and a
policy that runs away costs its questions their budget, not every stream its life.

Traps of regopy 1.5 that shape this file:

- ``set_input`` cuts text at a NUL and reads a backslash as an escape: ``"ann\\0x"`` would be taken
  for ``"ann"``; and it wraps integers at 64 bits. ``set_input_term`` with JSON text does neither,
  but takes more than twice as long, so it gets what holds any of these (``_SPELLED_AS_MEANT``).
- data added after a build is ignored: a reload makes a new interpreter.
- loaded after another C++ extension (ujson, temporalio), it leaks 12 KiB an answer: its C++ library
  is to be made global first (``load_regopy``).
- a build without entry points is asked by a query, which takes a third longer than by its path.
- a false rule is left out of the document, and ``ok()`` is true all the same: the whole document is
  asked for, and ``believe`` wants all of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import importlib
import importlib.resources
import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.adapters.policy_input import InputPolicy
from gateway.adapters.policy_thread import PolicyThread
from gateway.domain.policy import PROBE, Decision, believe, canonical, is_sound
from gateway.errors import PolicyBroken, PolicyUnavailable

NOT_LOADED: Final = "none"
# How long a question may wait for those before it: some thousands of them, in seconds.
TURN_LIMIT_S: Final = 10.0

_ENTRY_POINT: Final = "gateway/authz"
# JSON of strings with no escape in them, and no number.
_SPELLED_AS_MEANT = re.compile(rb'(?:[^"0-9]++|"[^"\\]*+")*+')


def default_policy_dir() -> Path:
    """The policy that came with the gateway: in the wheel, or ``opa/`` beside a checkout."""
    package = Path(str(importlib.resources.files("gateway")))
    installed = package / "policy_files"
    return installed if installed.is_dir() else package.parent / "opa"


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """A policy as text: modules by relative path, and ``data.json``, rooted as OPA roots it."""

    modules: Mapping[str, str]
    data: Mapping[str, Any]

    @property
    def revision(self) -> str:
        """A SHA-256 (hex) over all of it: the same files have the same revision everywhere."""
        whole = canonical({"modules": dict(self.modules), "data": dict(self.data)})
        return hashlib.sha256(whole or b"").hexdigest()


def read_policy_files(policy_dir: Path) -> PolicyFiles:
    """Reads what an OPA server would load, tests and golden inputs apart.

    Raises ``PolicyBroken`` when there is no module, or something cannot be read as what it is.
    """
    try:
        modules = {
            path.relative_to(policy_dir).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(policy_dir.rglob("*.rego"))
            if not path.name.endswith("_test.rego")
        }
        data_path = policy_dir / "data.json"
        data = json.loads(data_path.read_text(encoding="utf-8")) if data_path.exists() else {}
    except (OSError, ValueError, RecursionError) as exc:
        raise PolicyBroken from exc
    if not modules or not isinstance(data, dict):
        raise PolicyBroken from ValueError(f"no policy in {policy_dir}")
    return PolicyFiles(modules, data)


def load_regopy() -> Any:
    """Imported here and not at the top: with an OPA server neither its wheel nor its 11 MB are
    needed.

    Linked against a C++ library that an extension before it brought for itself alone, regopy never
    frees the text of its string streams; with that library in the global scope it does.
    """
    try:
        if sys.platform == "linux":
            with suppress(OSError):
                ctypes.CDLL("libstdc++.so.6", mode=ctypes.RTLD_GLOBAL)
        return importlib.import_module("regopy")
    except (ImportError, OSError) as exc:
        raise PolicyBroken from exc


class _Engine:
    """One interpreter with its built policy. Only the thread that made it may touch it."""

    def __init__(self, files: PolicyFiles) -> None:
        regopy = load_regopy()
        self._faults = (regopy.RegoError, ValueError)
        self._input = regopy.Input
        self._interpreter = regopy.Interpreter()
        # What is wrong travels in the exception; by default it would also go to stdout. Set here
        # and not as the process's default: setting that one twice aborts the process.
        self._interpreter.log_level = regopy.LogLevel.NONE
        try:
            for name, source in files.modules.items():
                self._interpreter.add_module(name, source)
            self._interpreter.add_data_json(json.dumps(files.data, ensure_ascii=False))
            self._bundle = self._interpreter.build("data.gateway.authz", [_ENTRY_POINT])
        except self._faults as exc:
            raise PolicyBroken from exc
        if not self._bundle.ok():
            raise PolicyBroken from ValueError("the policy does not compile")

    def answer(self, text: bytes) -> object:
        """The document ``gateway.authz`` for this input; ``None`` when it has none."""
        try:
            if _SPELLED_AS_MEANT.fullmatch(text):
                self._interpreter.set_input(self._input(msgspec.json.decode(text)))
            else:
                self._interpreter.set_input_term(text.decode())
            output = self._interpreter.query_bundle_entrypoint(self._bundle, _ENTRY_POINT)
            return json.loads(str(output))["expressions"][0] if output.ok() else None
        except (*self._faults, LookupError, TypeError):
            # Undefined, in conflict, or an error that regopy does not spell in JSON.
            return None


class RegoPolicy(InputPolicy):
    """``PolicyEngine`` in this process.

    A policy with an error loads, denies all and fails ``check``.

    Args:
        policy_dir: holds ``*.rego`` and ``data.json``; see ``default_policy_dir``.
        budget_s: seconds one question may take once it is its turn. Waiting for those before it
            has a limit of its own (``TURN_LIMIT_S``): a thousand streams opened at once are a
            queue, not a policy that fails.
    """

    def __init__(self, policy_dir: Path, budget_s: float) -> None:
        self._policy_dir = policy_dir
        self._engine: _Engine | None = None
        self._fault: PolicyBroken | None = None
        self._revision = NOT_LOADED
        self._thread = PolicyThread(budget_s=budget_s, turn_s=TURN_LIMIT_S)
        try:
            self._thread.do(self._load).result()
        except PolicyBroken as exc:
            self._fault = exc

    @property
    def revision(self) -> str:
        """A SHA-256 (hex) over the loaded files and data; a constant while none is loaded."""
        return self._revision

    async def _evaluate(self, text: bytes, decision_id: str) -> Decision:
        try:
            answer = await self._thread.ask(partial(self._answer, text))
        except TimeoutError as exc:
            raise PolicyUnavailable from exc
        return believe(answer, decision_id)

    async def check(self) -> None:
        if self._fault is not None:
            raise PolicyBroken from self._fault.__cause__
        await self._check_answers()

    async def faults(self) -> list[str]:
        """Why the files, as they are now, are no policy. Loads them aside and changes nothing."""
        try:
            await asyncio.wrap_future(self._thread.do(self._prepare))
        except PolicyBroken as exc:
            return [str(exc.__cause__ or exc.message)]
        return []

    async def reload(self) -> None:
        """Reads the files again. ``PolicyBroken`` when they are no policy: the old one stays."""
        await asyncio.wrap_future(self._thread.do(self._load))
        self._fault = None

    def close(self) -> None:
        """Ends the thread; nothing can be asked afterwards."""
        self._thread.close()

    def _answer(self, text: bytes) -> object:
        return None if self._engine is None else self._engine.answer(text)

    def _load(self) -> None:
        self._engine, self._revision = self._prepare()

    def _prepare(self) -> tuple[_Engine, str]:
        """Runs on the policy's thread: the new engine answers the probe before it takes over."""
        files = read_policy_files(self._policy_dir)
        engine = _Engine(files)
        if not is_sound(believe(engine.answer(canonical(PROBE) or b""), NOT_LOADED)):
            raise PolicyBroken from ValueError("the policy does not deny an empty question")
        return engine, files.revision
