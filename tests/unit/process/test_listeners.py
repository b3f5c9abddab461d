"""Listening sockets: whose they are, that nobody else has them, and how they end."""

from __future__ import annotations

import socket
import sys

import pytest

from gateway.process import listeners

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter is Linux's")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_an_address_somebody_listens_on_is_refused() -> None:
    """Also where the other one would share it."""
    port = free_port()
    mine = listeners.bind("127.0.0.1", port, 2)
    with pytest.raises(OSError, match="in use"):
        listeners.bind("127.0.0.1", port, 2)
    mine.close()
    listeners.bind("127.0.0.1", port, 1).close()


@LINUX
def test_each_worker_has_a_socket_of_its_own() -> None:
    """And keeps no copy of another one's, which would outlive its closing."""
    bound = listeners.bind("127.0.0.1", free_port(), 3)
    assert len({bound.of(worker).fileno() for worker in range(3)}) == 3
    bound.keep_only(1)
    assert [bound.of(worker).fileno() >= 0 for worker in range(3)] == [False, True, False]
    bound.close_of(1)
    assert bound.of(1).fileno() < 0


def test_a_socket_all_workers_share_is_closed_for_none_of_them() -> None:
    """With one worker, and where the kernel does not spread."""
    bound = listeners.bind("127.0.0.1", free_port(), 1)
    bound.keep_only(0)
    bound.close_of(0)
    assert bound.of(0).fileno() >= 0
    bound.close()


@LINUX
def test_after_refuse_new_no_handshake_begins_and_what_waits_can_be_accepted() -> None:
    """A connection in the queue is whole; one that comes now gets no answer until the close."""
    bound = listeners.bind("127.0.0.1", free_port(), 1)
    listener = bound.of(0)
    waiting = socket.create_connection(listener.getsockname())
    assert listeners.has_waiting_connection(listener)
    listeners.refuse_new(listener)
    with pytest.raises(TimeoutError):
        socket.create_connection(listener.getsockname(), timeout=0.2)
    accepted, _ = listener.accept()
    waiting.sendall(b"all of it")
    assert accepted.recv(100) == b"all of it"
    assert not listeners.has_waiting_connection(listener)
    for open_one in (waiting, accepted):
        open_one.close()
    address = listener.getsockname()
    bound.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
