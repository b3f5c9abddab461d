"""Programs we start never outlive us: real processes, real signals, no sleeps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import devstack
from devstack.processes import (
    Child,
    ChildDied,
    Scratch,
    StartFailed,
    run_to_end,
    start_and_wait,
)

LIMIT_S = 30.0
PYTHON = sys.executable
FOREVER = [PYTHON, "-c", "import signal; print('up', flush=True); signal.pause()"]
STUBBORN = [
    PYTHON,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    "while True: signal.pause()",
]
WITH_CHILD = [
    PYTHON,
    "-c",
    "import signal, subprocess, sys\n"
    "p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
    "print(p.pid, flush=True); signal.pause()",
]


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(devstack.__file__).parents[1])}


def child(command: list[str], **options: float) -> Child:
    return Child("program", command, env=env(), **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if sys.platform != "linux":
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


async def said(program: Child, text: str) -> None:
    """Waits for a line; fails with what it printed when it ends first."""
    async with asyncio.timeout(LIMIT_S):
        while text not in program.output:
            assert program.running, program.last_output()
            await asyncio.sleep(0.01)


async def first_line(program: Child) -> str:
    """The first line it prints, the moment it does; it may not have been started yet."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if program.output:
                return program.output[0]
            await asyncio.sleep(0.01)


async def test_stopped_program_is_gone_and_its_exit_is_known() -> None:
    """``stop`` ends the program with SIGTERM and reports how it ended."""
    program = child(FOREVER)
    await program.start()
    await said(program, "up")
    pid = program.pid
    await program.stop()
    assert program.exit_code == -signal.SIGTERM
    assert pid is not None
    assert not alive(pid)


async def test_program_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    """SIGKILL follows when the grace is over."""
    program = child(STUBBORN, grace_s=0.2)
    await program.start()
    await said(program, "up")
    await program.stop()
    assert program.exit_code == -signal.SIGKILL


async def test_frozen_program_can_be_stopped() -> None:
    """A stopped program is woken for its SIGTERM, so ``stop`` is never held up by ``freeze``."""
    program = child(FOREVER)
    await program.start()
    await said(program, "up")
    program.freeze()
    await program.stop()
    assert program.exit_code == -signal.SIGTERM


async def test_group_goes_with_its_leader() -> None:
    """What a program leaves behind in its group is ended too, also when it was killed itself."""
    program = child(WITH_CHILD)
    await program.start()
    grandchild = int(await first_line(program))
    assert program.pid is not None
    os.kill(program.pid, signal.SIGKILL)
    assert await program.wait() == -signal.SIGKILL
    until(lambda: not alive(grandchild), "the grandchild ends")
    await program.stop()


async def test_program_starts_again_after_its_end() -> None:
    """A ``Child`` can be started any number of times; its output is the present run's."""
    program = child([PYTHON, "-c", "print('once')"])
    for _ in range(2):
        await program.start()
        assert await program.wait() == 0
        assert list(program.output) == ["once"]
        await program.stop()


async def test_missing_program_is_a_sentence() -> None:
    """A command that is not there is a ``StartFailed`` that names it."""
    with pytest.raises(StartFailed, match="/no/such/program: No such file"):
        await child(["/no/such/program"]).start()


async def test_program_that_dies_before_it_is_ready_shows_its_last_output() -> None:
    """The error holds the exit code and what the program printed."""
    program = child([PYTHON, "-c", "print('bad luck'); raise SystemExit(3)"])
    with pytest.raises(ChildDied, match=r"(?s)ended with 3 .*bad luck"):
        await start_and_wait(program, never, LIMIT_S)


async def test_program_that_never_gets_ready_is_ended_at_its_limit() -> None:
    """No start hangs: at the limit the program is stopped and its silence reported."""
    program = child(FOREVER)
    with pytest.raises(StartFailed, match=r"not ready in 1 s"):
        await start_and_wait(program, never, 1.0)
    assert not program.running


async def test_cancelled_start_leaves_no_program() -> None:
    """Ctrl-C in the middle of a start ends what was started."""
    program = child(FOREVER)
    task = asyncio.create_task(start_and_wait(program, never, LIMIT_S))
    await first_line(program)
    pid = program.pid
    assert pid is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)


async def test_command_that_fails_shows_its_code_and_words() -> None:
    """``run_to_end`` is for commands: anything but 0 is a failure."""
    failing = [PYTHON, "-c", "import sys; sys.exit('no good')"]
    with pytest.raises(StartFailed, match=r"(?s)ended with 1.*no good"):
        await run_to_end(child(failing), LIMIT_S)


async def test_output_without_line_ends_is_kept_in_bounds() -> None:
    """A program that never ends its line neither blocks nor fills our memory."""
    program = child([PYTHON, "-c", "import sys; sys.stdout.write('x' * 3_000_000)"])
    await program.start()
    assert await program.wait() == 0
    await program.stop()
    assert sum(map(len, program.output)) == 3_000_000
    assert len(program.output) > 1


async def never() -> bool:
    return False


PARENT = dedent(
    """
    import asyncio, json, os, sys
    from devstack.processes import Child, Scratch

    async def main():
        scratch = Scratch(prefix="kbg-test-")
        programs = []
        for command in json.loads(sys.argv[1]):
            program = Child("program", command, env=dict(os.environ), alive=scratch.alive,
                            grace_s=0.2)
            await program.start()
            while not program.output:
                await asyncio.sleep(0.01)
            programs.append(program)
        (scratch.path / "file").write_text("x")
        print(json.dumps({"pids": [p.pid for p in programs], "folder": str(scratch.path),
                          "said": [p.output[0] for p in programs]}), flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_parent_leaves_no_program_and_no_folder(number: int) -> None:
    """Whatever ends us, our programs, stubborn ones and grandchildren too, and the folder go."""
    with subprocess.Popen(
        [PYTHON, "-c", PARENT, json.dumps([FOREVER, STUBBORN, WITH_CHILD])],
        stdout=subprocess.PIPE,
        env=env(),
        text=True,
    ) as parent:
        assert parent.stdout is not None
        told = json.loads(parent.stdout.readline())
        pids = [*told["pids"], int(told["said"][2])]
        folder = Path(told["folder"])
        assert all(alive(pid) for pid in pids)
        assert folder.is_dir()
        parent.send_signal(number)
    until(lambda: not any(alive(pid) for pid in pids), "all programs end")
    until(lambda: not folder.exists(), "the folder goes")


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux signals a child when its parent dies"
)
async def test_killed_watchdog_takes_its_program_along() -> None:
    """The kernel ends the program when its watchdog is killed."""
    program = child(FOREVER)
    await program.start()
    await said(program, "up")
    assert program.pid is not None
    assert program._watchdog is not None
    os.kill(program._watchdog.pid, signal.SIGKILL)
    await program.wait()
    until(lambda: not alive(program.pid or 0), "the program ends")
    await program.stop()


def test_scratch_folder_is_gone_when_closed() -> None:
    """``close`` returns once the folder is removed."""
    with Scratch() as scratch:
        (scratch.path / "deep").mkdir()
        (scratch.path / "deep" / "file").write_text("x")
    assert not scratch.path.exists()
