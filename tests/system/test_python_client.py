"""The Python client before the whole stack: what its README shows, and large files."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from knowledge_base import (
    AsyncKnowledgeBase,
    Citation,
    Progress,
    Retries,
    Sources,
    Token,
    UploadState,
    errors,
)

from devstack.sample import QUESTION, SAMPLE
from devstack.stack import Stack
from tests.terminal import terminal

from .people import INDEX_LIMIT_S, PASSWORD

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

PROJECT = Path(__file__).parents[2] / "clients" / "python"
MIB = 1024 * 1024
IBEX = b"The ibex of Val Trupchun weighs one hundred and nine kilograms. It sleeps on ledges.\n"


def client(stack: Stack, name: str = "alice") -> AsyncKnowledgeBase:
    return AsyncKnowledgeBase(stack.base_url, username=name, password=PASSWORD)


async def test_from_a_file_to_a_cited_answer(stack: Stack, tmp_path: Path) -> None:
    """Uploaded as a form, watched while it is indexed, asked about, downloaded, deleted."""
    path = tmp_path / "ibex.txt"
    path.write_bytes(IBEX)
    told: list[Progress] = []
    async with client(stack) as kb:
        uploaded = await kb.documents.upload(path, on_progress=told.append)
        seen = [one async for one in kb.documents.watch(uploaded.document_id)]
        assert seen[-1].status == "indexed", seen
        assert seen[-1].sha256 == uploaded.sha256
        assert told[-1].sent == told[-1].total == len(IBEX)
        only = [uploaded.document_id]
        events = [one async for one in kb.ask("What does the ibex weigh?", document_ids=only)]
        text = "".join(one.text for one in events if isinstance(one, Token))
        (sources,) = (one for one in events if isinstance(one, Sources))
        cited = next(one for one in events if isinstance(one, Citation))
        assert "hundred and nine" in text[cited.start : cited.end]
        assert sources.passages[cited.source].filename == "ibex.txt"
        whole = await kb.ask("What does the ibex weigh?", document_ids=only, stream=False)
        assert whole.text == text
        found = await kb.search("ibex", document_ids=only, top_k=1)
        assert found[0].document_id == uploaded.document_id
        await kb.documents.download(uploaded.document_id, tmp_path / "again.txt")
        assert (tmp_path / "again.txt").read_bytes() == IBEX
        await kb.documents.delete(uploaded.document_id)
        with pytest.raises(errors.NotFound):
            await kb.documents.get(uploaded.document_id)


async def test_a_key_may_do_what_it_is_for(stack: Stack) -> None:
    """Made by a person, used by a program, rotated and revoked."""
    async with client(stack, "bob") as kb:
        made = await kb.keys.create("import", ["query:run", "usage:read"], expires_in=600)
        assert made.secret is not None
        async with AsyncKnowledgeBase(stack.base_url, api_key=made.secret) as program:
            assert (await program.usage()).subject == "bob"
            with pytest.raises(errors.Forbidden) as refused:
                await program.me()
            assert refused.value.details["decision_id"]
        assert (await kb.keys.rotate(made.key_id, overlap=0)).secret != made.secret
        await kb.keys.revoke(made.key_id)
        (listed,) = (one for one in await kb.keys.list() if one.key_id == made.key_id)
        assert listed.revoked_at is not None


async def test_a_large_file_goes_on_where_it_stopped(stack: Stack, tmp_path: Path) -> None:
    """In parts to a real store, by a program that is stopped; what is no PDF is then told so."""
    path = tmp_path / "large.pdf"
    path.write_bytes(os.urandom(MIB) * 22)
    states: list[UploadState] = []

    def stops(state: UploadState) -> None:
        states.append(state)
        if len(state.etags) == 2:
            raise asyncio.CancelledError

    async with client(stack) as kb:
        with pytest.raises(asyncio.CancelledError):
            await kb.documents.upload(path, on_state=stops, at_once=1)
        told: list[Progress] = []
        kept = UploadState.from_json(states[-1].to_json())
        uploaded = await kb.documents.upload(path, resume=kept, on_progress=told.append)
        assert uploaded.document_id == kept.document_id
        assert told[0].sent == 2 * kept.part_size
        assert told[-1].sent == path.stat().st_size
        with pytest.raises(errors.IngestFailed) as failed:
            await kb.documents.wait(uploaded.document_id, timeout=INDEX_LIMIT_S)
        assert failed.value.document.error
        await kb.documents.delete(uploaded.document_id)


async def test_nobody_there_is_told_so(stack: Stack) -> None:
    """A wrong port, and a wrong password."""
    nowhere = AsyncKnowledgeBase("http://127.0.0.1:1", api_key="kbg_x", retries=Retries(times=0))
    async with nowhere, client(stack) as kb:
        with pytest.raises(errors.NotConnected):
            await nowhere.me()
        with pytest.raises(errors.InvalidCredentials):
            await kb.login("alice", "not her password")


# --- as a user has it -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the client's wheel, and what that asks for."""
    folder = tmp_path_factory.mktemp("user")
    # A copy: a build leaves its files, and would take those of the one before along.
    here = shutil.copytree(
        PROJECT, folder / "project", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(here))
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"))
    found = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    run(*(sys.executable, "-m", "pip", "--python", str(found)), "install", "-q", f"{wheel}[cli]")
    return found


def run(*command: str, cwd: Path | None = None) -> str:
    env = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lines() -> list[str]:
    """The README's Python blocks."""
    return re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text("utf-8"), re.DOTALL)


async def test_the_ten_lines_of_the_readme_run(stack: Stack, python: Path, tmp_path: Path) -> None:
    """As they are written, but for the address, the user, the file and the question."""
    first, second, *_ = lines()
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
    async with client(stack) as kb:
        key = await kb.keys.create("ten lines", ["query:run"])
    for text in (first, second):
        script = text.replace("https://kb.example.com", stack.base_url)
        script = script.replace('password="…"', f"password={PASSWORD!r}")
        script = script.replace("kbg_…", str(key.secret))
        script = script.replace("report.pdf", str(SAMPLE))
        script = script.replace("What was decided?", QUESTION)
        assert "…" not in script
        (tmp_path / "ten_lines.py").write_text(script, "utf-8")
        told = await asyncio.to_thread(run, str(python), "ten_lines.py", cwd=tmp_path)
        assert SAMPLE.name in told


# --- kb -------------------------------------------------------------------------------------------


def environment(stack: Stack, home: Path, token: str) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "HOME": str(home),
        "KB_URL": stack.base_url,
        "KB_TOKEN": token,
        "PYTHONUTF8": "1",
    }


async def test_kb_uploads_a_folder_and_asks_about_it(
    stack: Stack, python: Path, tmp_path: Path
) -> None:
    """At a terminal with bars; what is there is not sent again; then all of it in pipes."""
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "chamois.md").write_bytes(b"# Zinal\n\nThe chamois of Zinal is named Quilla.\n")
    (folder / "deep" / "large.pdf").write_bytes(os.urandom(MIB) * 7)
    (folder / ".hidden.txt").write_bytes(b"not this one")
    async with client(stack, "bob") as kb:
        token = (await kb.login("bob", PASSWORD)).access_token
    env = environment(stack, tmp_path, token)
    command = str(python.parent / "kb")
    upload = [command, "upload", "--wait", str(folder)]
    async with terminal(upload, env, columns=120) as shown:
        assert await shown.ended() == 1
        assert "1 indexed, 1 failed" in shown.text
        assert "large.pdf: " in shown.text
        assert "2 files" in shown.raw.decode()

    def piped(*words: str, code: int = 0) -> list[list[str]]:
        done = subprocess.run([command, *words], capture_output=True, env=env, check=False)
        assert done.returncode == code, done.stderr
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def at_a_prompt() -> None:
        sent = {Path(path).name: status for status, _, path in piped("upload", str(folder))}
        assert sent == {"chamois.md": "skipped", "large.pdf": "uploaded"}
        (chamois,) = [line for line in piped("docs", "ls") if line[-1] == "chamois.md"]
        answer = piped("ask", "-d", chamois[0], "Who is the chamois of Zinal?")
        assert "Quilla" in answer[0][0]
        assert answer[-1][0].startswith("[1] chamois.md")
        assert "Quilla" in piped("search", "-d", chamois[0], "chamois")[0][-1]
        assert ["ready", "all that it needs is there"] in [
            line[0].split(maxsplit=1) for line in piped("doctor")
        ]
        piped("docs", "open", chamois[0], "--to", str(tmp_path / "again.md"))
        assert (tmp_path / "again.md").read_bytes() == (folder / "chamois.md").read_bytes()
        assert piped("docs", "rm", "--yes", chamois[0]) == [[chamois[0]]]
        piped("docs", "show", chamois[0], code=4)

    await asyncio.to_thread(at_a_prompt)


async def test_ctrl_c_ends_an_upload_to_a_store_that_says_nothing(
    stack: Stack, python: Path, tmp_path: Path
) -> None:
    """At once: nobody waits for the store to be given up."""
    path = tmp_path / "ibex.txt"
    path.write_bytes(IBEX + os.urandom(8).hex().encode())
    async with client(stack, "bob") as kb:
        env = environment(stack, tmp_path, (await kb.login("bob", PASSWORD)).access_token)
    stack.freeze("s3")
    try:
        async with terminal([str(python.parent / "kb"), "upload", str(path)], env) as shown:
            await shown.until("ibex.txt")
            shown.type("\x03")
            assert await shown.ended() == 130
            assert "kb: stopped" in shown.text
    finally:
        stack.thaw("s3")
