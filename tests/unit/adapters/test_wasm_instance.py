"""Modules that OPA's compiler did not make: nothing they say is believed."""

from __future__ import annotations

import pytest
from wasmtime import Module, wat2wasm

from gateway.adapters.wasm_instance import PolicyStopped, WasmInstance
from gateway.adapters.wasm_module import engine

# OPA's ABI at its smallest. The texts that it gives stand in its memory from 1024 on.
MODULE = """(module
  (import "env" "memory" (memory 2))
  (data (i32.const 1024) "{{\\"gateway/authz\\":0}}\\00")
  (data (i32.const 1100) "{{}}\\00")
  (data (i32.const 1200) "[{{\\"result\\":{{\\"allow\\":false}}}}]\\00")
  (func (export "entrypoints") (result i32) i32.const 1024)
  (func (export "builtins") (result i32) i32.const 1100)
  (func (export "opa_json_dump") (param i32) (result i32) local.get 0)
  (func (export "opa_value_dump") (param i32) (result i32) local.get 0)
  (func (export "opa_json_parse") (param i32 i32) (result i32) local.get 0)
  (func (export "opa_value_parse") (param i32 i32) (result i32) local.get 0)
  (func (export "opa_malloc") (param i32) (result i32) i32.const {malloc})
  (func (export "opa_heap_ptr_get") (result i32) i32.const {heap})
  (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result {kind})
    {eval}))
"""
SOUND = {"malloc": "4096", "heap": "8192", "kind": "i32", "eval": "i32.const 1200"}


def module(**changed: str) -> Module:
    return Module(engine(), wat2wasm(MODULE.format(**{**SOUND, **changed})))


def test_the_smallest_policy_answers() -> None:
    """What is changed below is what makes it fail."""
    assert WasmInstance(module(), b"{}").ask(b"{}") == {"allow": False}


@pytest.mark.parametrize(
    "changed",
    [
        {"malloc": "-8"},
        {"malloc": "0"},
        {"malloc": "2147483000"},
        {"heap": "-1"},
        {"heap": "131073"},
        {"heap": "2147483647"},
        {"kind": "i64", "eval": "i64.const 1200"},
    ],
    ids=str,
)
def test_addresses_outside_its_memory_are_refused_at_load(changed: dict[str, str]) -> None:
    """Nothing is read or written there: it would be the gateway's own memory."""
    with pytest.raises(PolicyStopped):
        WasmInstance(module(**changed), b"{}")


@pytest.mark.parametrize(
    "at", ["-1", "0", "131072", "2147483647", "131071"], ids=lambda at: f"at {at}"
)
def test_an_answer_outside_its_memory_stops_it(at: str) -> None:
    """A text without an end is none either."""
    # The memory's last byte is not NUL, so that a text there would go on outside.
    spoilt = f"i32.const 131071 i32.const 65 i32.store8 i32.const {at}"
    instance = WasmInstance(module(eval=spoilt), b"{}")
    with pytest.raises(PolicyStopped):
        instance.ask(b"{}")


@pytest.mark.parametrize(
    "wat",
    ["(module)", '(module (import "env" "other" (func)))', '(module (memory (export "m") 1))'],
)
def test_what_lacks_opas_interface_is_refused(wat: str) -> None:
    """Any other program that happens to be Wasm."""
    with pytest.raises(PolicyStopped):
        WasmInstance(Module(engine(), wat2wasm(wat)), b"{}")


@pytest.mark.parametrize("text", ["", "no json", "{}", "[]", "[1]", "[{}]"])
def test_an_answer_of_another_shape_is_no_document(text: str) -> None:
    """It is a broken policy then, whatever it says."""
    spelled = f'(data (i32.const 1400) "{text}\\00")'
    changed = MODULE.replace(
        '(func (export "entrypoints")',
        f'{spelled.replace("{", "{{").replace("}", "}}")}\n(func (export "entrypoints")',
    )
    found = Module(engine(), wat2wasm(changed.format(**{**SOUND, "eval": "i32.const 1400"})))
    assert WasmInstance(found, b"{}").ask(b"{}") is None
