"""One running copy of a compiled policy, and how it is asked: OPA's ABI for Wasm, 1.2.

A question is one call of ``opa_eval``. Its input is written where the data ends, and everything
that an answer allocates lies behind it, so the next question finds the memory as this one did.
Source: https://www.openpolicyagent.org/docs/wasm
"""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.adapters.go_format import Unsupported
from gateway.adapters.policy_bundle import ENTRY_POINT
from gateway.adapters.policy_functions import FUNCTIONS, Undefined
from gateway.adapters.rego_terms import read_term
from gateway.adapters.wasm_module import engine

if TYPE_CHECKING:
    from wasmtime import Module

    from gateway.adapters.wasm_call import Call

# The default policy's longest decision takes 0.26 million. Twenty take 6 to 9 ms, our functions
# included, so that a policy that runs away delays the worker's streams by less than 20 ms.
FUEL: Final = 20_000_000
# What a function of ours is charged, and for each byte that it is given or returns: it is Python.
_FUEL_A_CALL: Final = 200_000
_FUEL_A_BYTE: Final = 200
# Data is loaded once, whatever it takes; only its memory is bounded.
_FUEL_TO_LOAD: Final = 2**62
_AS_JSON: Final = 0
_CALLED: Final = (
    *("opa_eval", "entrypoints", "builtins", "opa_malloc", "opa_heap_ptr_get"),
    *("opa_json_parse", "opa_json_dump", "opa_value_parse", "opa_value_dump"),
)
_PAGE_BYTES: Final = 64 * 1024
DATA_LIMIT_BYTES: Final = 256 * 1024 * 1024
QUESTION_LIMIT_BYTES: Final = 16 * 1024 * 1024
# An answer is some 100 bytes; obligations may add to it, and no policy needs more than this.
ANSWER_LIMIT_BYTES: Final = 64 * 1024


class PolicyStopped(Exception):
    """The policy ended without an answer: by a conflict, out of fuel or memory, by any trap.

    The instance is in no known state then, and must not be asked again.
    """


class MissingFunctions(Exception):
    """The policy calls functions that only an OPA server has; ``names`` says which."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"the policy needs {', '.join(names)}, which only an OPA server has"
            " (GATEWAY_SERVICES_OPA)"
        )
        self.names = names


@dataclass(frozen=True, slots=True)
class _Start:
    """Where every question begins: the memory with the data in it, and what was found in there.

    ``memory`` is its used part, of ``size_bytes``. All that a module changes is in its memory, but
    for the stack's pointer, which is where it was when a call has returned.
    """

    memory: bytes
    size_bytes: int
    data_at: int
    heap_at: int
    entry_point: int
    functions: Mapping[int, Callable[..., object]]
    needs: tuple[str, ...]


class WasmInstance:
    """A policy with its data, ready to be asked. Only one thread at a time may use it.

    Args:
        data: the document ``data`` as JSON text.
        start: of an instance before this one, in the data's place.

    Raises:
        MissingFunctions: the policy calls a function that is not in ``FUNCTIONS``.
        PolicyStopped: it is no policy of OPA's, lacks the entry point, or the data is too much.
    """

    def __init__(self, module: Module, data: bytes, start: _Start | None = None) -> None:
        import wasmtime

        self._wasmtime = wasmtime
        self._failures = (wasmtime.WasmtimeError, wasmtime.Trap, PolicyStopped)
        self._module = module
        self._store = wasmtime.Store(engine())
        self._store.set_limits(memory_size=DATA_LIMIT_BYTES)
        self._store.set_fuel(_FUEL_TO_LOAD)
        self._now_ns = 0
        try:
            self._calls = self._instantiate(module)
            self._eval = self._calls["opa_eval"]
            self._start = self._load(data) if start is None else self._restored(start)
        except (KeyError, TypeError) as exc:
            raise PolicyStopped(f"not OPA's Wasm with the entry point {ENTRY_POINT}") from exc
        except self._failures as exc:
            raise _stopped(exc) from exc
        self._store.set_limits(memory_size=self._start.size_bytes + QUESTION_LIMIT_BYTES)

    def ask(self, text: bytes) -> object:
        """The document ``gateway.authz`` for this input, in JSON; ``None`` when it has none.

        Raises ``PolicyStopped``.
        """
        store, start = self._store, self._start
        input_at, size = start.heap_at, len(text)
        self._now_ns = 0
        try:
            store.set_fuel(FUEL)
            self._write(text, input_at)
            behind = input_at + size
            found = self._eval(
                0, start.entry_point, start.data_at, input_at, size, behind, _AS_JSON
            )
            return _result(self._read(found, ANSWER_LIMIT_BYTES))
        except self._failures as exc:
            raise _stopped(exc) from exc

    def successor(self) -> WasmInstance:
        """Another one that knows nothing of what this one was asked; the data is not read again."""
        return WasmInstance(self._module, b"", self._start)

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the functions of ours that the policy calls."""
        return self._start.needs

    @property
    def fuel_left(self) -> int:
        """What the last question did not use of ``FUEL``."""
        return int(self._store.get_fuel())

    # --- how it begins ---------------------------------------------------------------------------

    def _load(self, data: bytes) -> _Start:
        needed = self._needed_functions()
        entry_point = self._read_json(self._calls["entrypoints"]())[ENTRY_POINT]
        data_at = self._parsed("opa_json_parse", data)
        heap_at = self._calls["opa_heap_ptr_get"]()
        self._check_inside(heap_at)
        return _Start(
            memory=ctypes.string_at(self._address(), heap_at),
            size_bytes=self._memory.data_len(self._store),
            data_at=data_at,
            heap_at=heap_at,
            entry_point=entry_point,
            functions={number: FUNCTIONS[name] for name, number in needed.items()},
            needs=tuple(sorted(needed)),
        )

    def _restored(self, start: _Start) -> _Start:
        self._grow(start.size_bytes)
        ctypes.memmove(self._address(), start.memory, len(start.memory))
        return start

    def _needed_functions(self) -> dict[str, int]:
        needed: dict[str, int] = self._read_json(self._calls["builtins"]())
        missing = sorted(needed.keys() - FUNCTIONS.keys())
        if missing:
            raise MissingFunctions(missing)
        return needed

    # --- what the module is given ----------------------------------------------------------------

    def _instantiate(self, module: Module) -> Mapping[str, Call]:
        from gateway.adapters.wasm_call import Call

        wasmtime, store = self._wasmtime, self._store
        limits = wasmtime.Limits(2, (DATA_LIMIT_BYTES + QUESTION_LIMIT_BYTES) // _PAGE_BYTES)
        self._memory = wasmtime.Memory(store, wasmtime.MemoryType(limits))
        # wasmtime keeps these functions until the store is gone, and the store is this object's: a
        # strong reference in them would keep both for good.
        this = weakref.proxy(self)
        given = {
            "opa_abort": lambda text_at: this._on_abort(text_at),
            "opa_println": lambda _text_at: None,
            **dict.fromkeys(map("opa_builtin{}".format, range(5)), lambda *a: this._on_call(*a)),
        }
        imports = [
            self._memory
            if one.name == "memory"
            else wasmtime.Func(store, one.type, given[str(one.name)])
            for one in module.imports
        ]
        exports = wasmtime.Instance(store, module, imports).exports(store)
        return {name: Call(store, exports[name]) for name in _CALLED}

    def _on_abort(self, text_at: int) -> None:
        raise PolicyStopped(self._read(text_at, ANSWER_LIMIT_BYTES).decode(errors="replace"))

    def _on_call(self, number: int, _context: int, *arguments_at: int) -> int:
        """A function of ours. An error in it is undefined, as with OPA: an address of 0."""
        # Values are dumped, and parsed again, as Rego's terms: JSON has no sets.
        texts = [self._read(self._calls["opa_value_dump"](at)) for at in arguments_at]
        self._charge(_FUEL_A_CALL + _FUEL_A_BYTE * sum(map(len, texts)))
        try:
            terms = [read_term(text.decode()) for text in texts]
            answer = self._start.functions[number](self._now(), *terms)
        except Undefined:
            return 0
        except (Unsupported, ValueError, RecursionError) as exc:
            raise PolicyStopped(str(exc)) from exc
        text = msgspec.json.encode(answer)
        self._charge(_FUEL_A_BYTE * len(text))
        return self._parsed("opa_value_parse", text)

    def _now(self) -> int:
        """Nanoseconds since 1970, the same throughout a question."""
        self._now_ns = self._now_ns or time.time_ns()
        return self._now_ns

    def _charge(self, fuel: int) -> None:
        left = self._store.get_fuel() - fuel
        if left <= 0:
            raise PolicyStopped("it takes too long")
        self._store.set_fuel(left)

    # --- the module's memory ---------------------------------------------------------------------

    def _parsed(self, parser: str, text: bytes) -> int:
        """The address of the value that ``text`` spells."""
        at = self._calls["opa_malloc"](len(text))
        self._write(text, at)
        value_at = self._calls[parser](at, len(text))
        if not value_at:
            raise PolicyStopped("it cannot read what it was given")
        return value_at

    def _write(self, text: bytes, at: int) -> None:
        self._grow(at + len(text))
        self._check_inside(at + len(text), at)
        ctypes.memmove(self._address() + at, text, len(text))

    def _check_inside(self, *addresses: int) -> None:
        """What a module says of its memory may be wrong, and what lies outside it is ours."""
        size = self._memory.data_len(self._store)
        if not all(0 < at <= size for at in addresses):
            raise PolicyStopped("it gave an address outside its memory")

    def _grow(self, size_bytes: int) -> None:
        missing = size_bytes - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, -(-missing // _PAGE_BYTES))

    def _address(self) -> int:
        """Where the memory is now: it may move when it grows."""
        return ctypes.addressof(self._memory.data_ptr(self._store).contents)

    def _read(self, at: int, limit_bytes: int = QUESTION_LIMIT_BYTES) -> bytes:
        """The text at ``at``, which a NUL ends."""
        self._check_inside(at)
        size = min(self._memory.data_len(self._store) - at, limit_bytes)
        text: bytes = (ctypes.c_char * size).from_address(self._address() + at).value
        if len(text) == size:
            raise PolicyStopped("its answer is too long")
        return text

    def _read_json(self, value_at: int) -> Any:
        return msgspec.json.decode(self._read(self._calls["opa_json_dump"](value_at)))


def _result(text: bytes) -> object:
    """What stands in the one row of a result set; an undefined document has no row."""
    try:
        rows = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    row = rows[0] if isinstance(rows, list) and rows else None
    return row.get("result") if isinstance(row, dict) else None


def _stopped(failure: Exception) -> PolicyStopped:
    if isinstance(failure, PolicyStopped):
        return failure
    lines = str(failure).strip().splitlines()
    return PolicyStopped(lines[-1].strip() if lines else type(failure).__name__)
