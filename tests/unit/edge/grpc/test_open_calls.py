"""Which connections are cut, and which sockets those are."""

from __future__ import annotations

import socket
from collections.abc import Callable, Set
from typing import Any, cast

import pytest

from gateway.edge.grpc import open_calls
from gateway.edge.grpc.open_calls import OpenCalls
from gateway.edge.grpc.sockets import cut
from gateway.edge.wire.connections import Connections, Limits
from gateway.errors import Overloaded

PORT = 9
ADDRESS = "192.0.2.1"


class Context:
    """What grpc knows of a call; ``end`` is what it does when that is over."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._then: list[Callable[[Any], None]] = []

    def peer(self) -> str:
        return self._peer

    def add_done_callback(self, then: Callable[[Any], None]) -> None:
        self._then.append(then)

    def end(self) -> None:
        for then in self._then:
            then(self)


@pytest.fixture
def calls() -> OpenCalls:
    limits = Limits(
        connections=9, per_address=2, body_bytes=9, head_s=9, body_s=9, idle_s=9, stall_s=3600
    )
    return OpenCalls(Connections(limits))


@pytest.fixture
def was_cut(monkeypatch: pytest.MonkeyPatch) -> list[Set[str]]:
    found: list[Set[str]] = []

    def note(peers: Set[str], port: int) -> int:
        assert port == PORT
        found.append(peers)
        return len(peers)

    monkeypatch.setattr(open_calls, "cut", note)
    return found


def begun(calls: OpenCalls, peer: str) -> tuple[Context, open_calls.OpenCall]:
    context = Context(peer)
    return context, calls.begin(cast(Any, context), ADDRESS)


async def test_a_connection_stays_while_anything_on_it_is_alive(
    calls: OpenCalls, was_cut: list[Set[str]]
) -> None:
    """A proxy's connection carries the calls of many clients: one that stalls ends no other's."""
    _, stalled = begun(calls, "ipv4:192.0.2.1:1")
    living, other = begun(calls, "ipv4:192.0.2.1:1")
    calls.answered(stalled, stalled=True)
    await calls.cut_stalled(PORT)
    assert not was_cut
    calls.answered(other, stalled=False)
    await calls.cut_stalled(PORT)
    assert not was_cut, "its client has time to take the answer"
    living.end()
    await calls.cut_stalled(PORT)
    assert was_cut == [{"ipv4:192.0.2.1:1"}]


async def test_nothing_is_kept_of_a_call_that_is_over(
    calls: OpenCalls, was_cut: list[Set[str]]
) -> None:
    """Nor its place, which is its own until grpc has ended it, not until it is answered."""
    ended = [begun(calls, f"ipv4:192.0.2.1:{number}") for number in range(2)]
    for _, call in ended:
        calls.answered(call, stalled=True)
    with pytest.raises(Overloaded):
        begun(calls, "ipv4:192.0.2.1:7")
    for context, _ in ended:
        context.end()
    await calls.cut_stalled(PORT)
    assert not was_cut
    begun(calls, "ipv4:192.0.2.1:8")


def test_the_sockets_that_are_cut_are_those_and_no_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(3)]
        served = [listener.accept()[0] for _ in clients]
        named = [f"ipv4:127.0.0.1:{one.getsockname()[1]}" for one in clients]
        assert cut({named[1], "unix:/run/x", "nonsense"}, port) == 1
        assert clients[1].recv(1) == b""
        assert cut({named[0]}, port - 1) == 0, "a connection to another port"
        for number in (0, 2):
            served[number].sendall(b"x")
            assert clients[number].recv(1) == b"x"
        for one in (*clients, *served):
            one.close()
