"""Compiled policies: machine code made of OPA's Wasm by wasmtime, in a process of its own.

Compiling takes half a second, 20 MiB and threads. A process that is to fork workers, or serves
streams, does none of it: a child compiles, and its machine code comes back through a pipe. Taking
it over (``deserialize``) costs 1 ms. What is taken over runs as it is, with no check, so it is only
ever read from a child of this process or from memory that the supervisor mapped before it forked;
there is no cache on disk that somebody else could write to.
"""

from __future__ import annotations

import atexit
import hashlib
import mmap
import os
import subprocess
import sys
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from gateway.errors import PolicyBroken

if TYPE_CHECKING:
    from wasmtime import Engine, Module

# The major version that ``setup.py`` asks for.
WASMTIME: Final = "50"
_COMPILE_LIMIT_S: Final = 60.0
# The child imports from where its parent does.
_CHILD: Final = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import main; main()"
_HANDOVER_BYTES: Final = 32 * 1024 * 1024
_DIGEST_BYTES: Final = 32
_HEAD_BYTES: Final = 2 * _DIGEST_BYTES + 8


@cache
def engine() -> Engine:
    """The one engine of this process, and of those forked from it. Starts no thread.

    Code is compiled for exactly these options, so the child that compiles has the same engine.
    """
    # Imported here and not at the top: with an OPA server its 14 MiB are not needed.
    from wasmtime import Config, Engine

    options = Config()
    # Fuel ends a policy that runs away within the call, where an epoch would need a thread.
    options.consume_fuel = True
    # Traps are checked for in the code. With signal handlers, a trap would end the process as soon
    # as ``faulthandler`` is enabled after the first engine.
    options.signals_based_traps = False
    # A memory then needs no guard pages: it takes what it uses, also of the address space.
    options.memory_reservation = 0
    options.memory_reservation_for_growth = 1024 * 1024
    options.memory_guard_size = 0
    options.parallel_compilation = False
    return Engine(options)


def engine_name() -> str:
    """For ``gateway check``. Raises ``PolicyBroken`` where wasmtime cannot be loaded."""
    load_wasmtime()
    return f"OPA's Wasm inside each worker, run by wasmtime {version('wasmtime')}"


def load_wasmtime() -> None:
    """Raises ``PolicyBroken`` where there is no wasmtime for this platform, or another version."""
    try:
        # By the version first: ``wasm_call`` lays out memory as this one does.
        found = version("wasmtime")
        if found.partition(".")[0] != WASMTIME:
            raise ImportError(f"it is version {found}, and {WASMTIME} is needed")
        engine()
    except (ImportError, OSError, RuntimeError) as exc:
        raise PolicyBroken from ValueError(
            f"wasmtime cannot be used: {exc}. Install the gateway with its dependencies, or name"
            " an OPA server in GATEWAY_SERVICES_OPA"
        )


# Two: the policy that serves, and the one that a reload tries.
@lru_cache(maxsize=2)
def compiled(wasm: bytes) -> Module:
    """The machine code of a policy. Blocks while a child compiles, if nobody has before.

    Raises ``PolicyBroken``, whose cause says what is wrong.
    """
    load_wasmtime()
    from wasmtime import Module, WasmtimeError

    try:
        return Module.deserialize(engine(), _machine_code(wasm))
    except (OSError, subprocess.SubprocessError, WasmtimeError) as exc:
        raise PolicyBroken from exc


def _machine_code(wasm: bytes) -> bytes:
    handover = _handover
    found = handover.get(wasm) if handover is not None else None
    if found is None:
        found = _compile_in_child(wasm)
        if handover is not None:
            handover.put(wasm, found)
    return found


def _compile_in_child(wasm: bytes) -> bytes:
    done = subprocess.run(
        # -P: nothing is imported from the folder that the gateway was started in.
        [sys.executable, "-P", "-c", _CHILD, *filter(None, sys.path)],
        input=wasm,
        capture_output=True,
        timeout=_COMPILE_LIMIT_S,
        # A Ctrl-C in the terminal is for the gateway, which ends what it began.
        process_group=0,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"its compiler ended with {done.returncode}"
        raise PolicyBroken from ValueError(f"the policy cannot be compiled: {reason}")
    return done.stdout


class Handover:
    """What the supervisor made at a reload, for its workers: one piece of bytes in shared memory.

    Mapped before the workers are forked, and written by the supervisor alone, which puts it here
    before it tells them to reload. A digest tells what is just being written.
    """

    def __init__(self, size_bytes: int = _HANDOVER_BYTES) -> None:
        # Pages that nobody wrote to take no memory.
        self._memory = mmap.mmap(-1, size_bytes)
        self._owner = os.getpid()

    def put(self, made_of: bytes, made: bytes) -> None:
        """Does nothing in a worker. What does not fit is left out: each worker makes its own."""
        if os.getpid() != self._owner:
            return
        whole = _digest(made_of) + len(made).to_bytes(8, "little") + _digest(made) + made
        if len(whole) > len(self._memory):
            whole = bytes(_HEAD_BYTES)
        self._memory[: len(whole)] = whole

    def get(self, made_of: bytes) -> bytes | None:
        head = self._memory[:_HEAD_BYTES]
        size = int.from_bytes(head[_DIGEST_BYTES : _DIGEST_BYTES + 8], "little")
        if not size or head[:_DIGEST_BYTES] != _digest(made_of):
            return None
        made = self._memory[_HEAD_BYTES : _HEAD_BYTES + size]
        return made if _digest(made) == head[_DIGEST_BYTES + 8 :] else None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


_handover: Handover | None = None


@atexit.register
def _let_go() -> None:
    """While wasmtime can still free them: an interpreter that ends takes its modules away first."""
    compiled.cache_clear()
    engine.cache_clear()


def share_from_here() -> None:
    """In the process that will fork workers: what it compiles from now on, they are given."""
    global _handover
    _handover = Handover()


def main() -> None:
    """The child: Wasm on standard input, machine code on standard output."""
    from wasmtime import Module, WasmtimeError

    try:
        code = Module(engine(), sys.stdin.buffer.read()).serialize()
    except WasmtimeError as exc:
        sys.exit(" ".join(str(exc).split()))
    sys.stdout.buffer.write(code)
