"""How the streams are spread over workers, and the time of those that well cores answer."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from benchmarks import proc
from benchmarks.among_eight import quantiles
from benchmarks.workers import spread

TCP = """  sl  local_address rem_address   st queues tr when retrnsmt uid timeout inode
   0: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 501 1
   1: 0100007F:1F90 0100007F:C002 01 00000000:00000000 00:00000000 00000000     0        0 502 1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 503 1
   3: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 504 1
"""


def test_a_workers_share_is_told_of_its_fair_one() -> None:
    """Of 100 streams over four workers 25 would be fair."""
    assert spread([40, 30, 20, 10], 4) == {"most_of_fair": 1.6, "least_of_fair": 0.4}


@pytest.mark.parametrize(("held", "count"), [([100], 1), ([], 2), ([100], 2), ([0, 0], 2)])
def test_where_there_is_no_process_for_each_worker_nothing_is_told(
    held: list[int], count: int
) -> None:
    """One worker has all; Go has one process, and a thread for each CPU."""
    assert spread(held, count) == {}


def test_a_process_that_takes_no_clients_is_no_worker() -> None:
    """A supervisor may have other children."""
    assert spread([0, 50, 50], 2) == {"most_of_fair": 1.0, "least_of_fair": 1.0}


def test_connections_on_a_port_are_counted_by_child(tmp_path: Path) -> None:
    """Neither the listening socket nor the other end of a connection is one."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP, "ascii")
    for pid, parent, sockets in ((10, 1, (503,)), (11, 10, (501, 502, 503)), (12, 10, (504,))):
        files = tmp_path / str(pid) / "fd"
        files.mkdir(parents=True)
        line = f"{pid} (python) S {parent} {pid} 10 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0\n"
        (tmp_path / str(pid) / "stat").write_text(line, "utf-8")
        for number, inode in enumerate(sockets):
            (files / str(number)).symlink_to(f"socket:[{inode}]")
    assert proc.clients_of_children(10, 0x1F90, tmp_path) == {11: 2, 12: 0}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux alone has /proc/net/tcp")
def test_this_kernels_connections_are_read() -> None:
    """The fields are where proc(5) says: our own child's socket is found."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            assert proc.clients_of_children(os.getppid(), port)[os.getpid()] == 1


def test_the_others_quantiles_are_of_a_sorted_list() -> None:
    """The median and the 99th percentile; nothing of nothing."""
    assert quantiles([float(n) for n in range(101)]) == {"others_p50_ms": 50, "others_p99_ms": 99}
    assert quantiles([]) == {}
