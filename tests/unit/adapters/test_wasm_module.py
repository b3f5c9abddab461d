"""Machine code of a policy: compiled in a child, handed over through shared memory."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gateway.adapters import policy_bundle, wasm_module
from gateway.adapters.wasm_module import Handover, compiled
from gateway.errors import PolicyBroken


def test_what_is_handed_over_is_what_was_put() -> None:
    """Once it is there, and only for the policy that it was made of."""
    handover = Handover(size_bytes=1000)
    assert handover.get(b"rules") is None
    handover.put(b"rules", b"code")
    assert handover.get(b"rules") == b"code"
    assert handover.get(b"other rules") is None
    handover.put(b"other rules", b"other code")
    assert handover.get(b"rules") is None
    assert handover.get(b"other rules") == b"other code"


def test_a_module_that_is_half_written_is_not_taken() -> None:
    """Machine code runs as it is, so a worker that looks too early compiles by itself."""
    handover = Handover(size_bytes=1000)
    handover.put(b"rules", b"first code")
    handover._memory[74:76] = b"??"
    assert handover.get(b"rules") is None


def test_what_does_not_fit_is_left_out() -> None:
    """A policy of any size is served; each worker then compiles a large one."""
    handover = Handover(size_bytes=100)
    handover.put(b"rules", b"c" * 100)
    assert handover.get(b"rules") is None


@pytest.mark.parametrize("wasm", [b"", b"\0asm", b"\0asm\1\0\0\0garbage"])
def test_what_is_no_wasm_is_a_broken_policy(wasm: bytes) -> None:
    """With the compiler's words, in one line."""
    with pytest.raises(PolicyBroken) as caught:
        compiled(wasm)
    assert "cannot be compiled" in str(caught.value.__cause__)
    assert "\n" not in str(caught.value.__cause__)


# What a supervisor does: compile, share, fork, compile another; and its worker, which may not.
FORKS = """
import os, subprocess, sys
from gateway.adapters import policy_bundle, wasm_module
from gateway.adapters.wasm_instance import WasmInstance

first = policy_bundle.load(None)
# A custom section changes a module's bytes and not what it does.
second = first.wasm + b"\\0\\2\\1x"
wasm_module.compiled(first.wasm)
wasm_module.share_from_here()
assert not os.path.exists("/proc/self/task") or len(os.listdir("/proc/self/task")) == 1
waits, told = os.pipe()
worker = os.fork()
if worker == 0:
    subprocess.run = None
    for wasm in (first.wasm, second):
        instance = WasmInstance(wasm_module.compiled(wasm), first.data)
        assert instance.ask(b"{}")["reason"] == "malformed_input"
        os.read(waits, 1)
    os._exit(0)
wasm_module.compiled(second)
os.write(told, b"..")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
"""


def test_workers_run_what_the_supervisor_compiled() -> None:
    """What it compiled before the fork, and what it compiled for a reload after it; they start no
    compiler, and the supervisor no thread."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_compiler_imports_nothing_from_where_the_gateway_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of somebody else's in that folder is not run."""
    (tmp_path / "wasmtime.py").write_text("raise SystemExit('planted')")
    (tmp_path / "gateway.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    compiled.cache_clear()
    assert compiled(policy_bundle.load(None).wasm)


@pytest.mark.parametrize("other", ["49.0.0", "51.0.0", None])
def test_another_wasmtime_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, other: str | None
) -> None:
    """Or none: with what to do."""

    def version(name: str) -> str:
        if other is None:
            raise PackageNotFoundError(name)
        return other

    monkeypatch.setattr(wasm_module, "version", version)
    with pytest.raises(PolicyBroken) as caught:
        wasm_module.load_wasmtime()
    said = str(caught.value.__cause__)
    assert said.startswith("wasmtime cannot be used: ")
    assert (other or "wasmtime") in said
    assert "GATEWAY_SERVICES_OPA" in said


def test_the_version_is_the_one_that_is_installed_with_the_gateway() -> None:
    """``setup.py`` allows one major version."""
    setup = (Path(__file__).parents[3] / "setup.py").read_text()
    assert f'"wasmtime>={wasm_module.WASMTIME},<{int(wasm_module.WASMTIME) + 1}"' in setup
