"""``compose.yaml`` started by hand, as an engine's Compose would: containers, order, health.

Others' images cannot be pulled everywhere: in their place stand images of the same programs at the
pinned versions. All containers share one network namespace that leads nowhere, where each service's
name is the loopback address, so that nothing meets what else runs on the machine.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from devstack.components import find_program

from .compose_project import Service, services
from .engine import Engine

# Not speeds that are asserted: when the test gives up.
HEALTHY_LIMIT_S = 180
CALL_LIMIT_S = 180
POLL_S = 0.25
PROGRAMS = {
    "openpolicyagent/opa": ("opa",),
    "temporalio/temporal": ("temporal",),
    "versity/versitygw": ("versitygw",),
    "redis": ("redis-server", "redis-cli"),
}
# The base brings its own of these.
_GLIBC = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "linux-vdso")
_RECIPE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY bin/ /usr/local/bin/
COPY lib/ /opt/lib/
ENV LD_LIBRARY_PATH=/opt/lib
ENTRYPOINT ["%s"]
"""


def build_stand_in(engine: Engine, base: str, image: str, folder: Path) -> str:
    """An image with the program of ``image``, its libraries and nothing else; gives its name."""
    name = f"localhost/knowledge-base-test-{image.rpartition('/')[2]}"
    for place in ("bin", "lib"):
        (folder / place).mkdir(parents=True)
    for program in PROGRAMS[image]:
        found = find_program(program)
        assert found is not None, program
        shutil.copy(found.resolve(), folder / "bin" / program)
        for library in _libraries(found):
            shutil.copy(library, folder / "lib")
    (folder / "Dockerfile").write_text(_RECIPE % PROGRAMS[image][0])
    engine.build(name, folder, {"BASE_IMAGE": base})
    return name


def _libraries(program: Path) -> Iterator[Path]:
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
    for line in told.splitlines():
        words = line.split()
        if "=>" in words and not words[0].rpartition("/")[2].startswith(_GLIBC):
            yield Path(words[2])


@dataclass(frozen=True)
class Composed:
    """The running containers. ``images`` has what is run in the place of each image."""

    engine: Engine
    mark: str
    folder: Path
    images: Mapping[str, str]

    def name(self, service: str) -> str:
        return f"{self.mark}-{service}"

    def up(self) -> None:
        """Each after what it depends on: when that is healthy, or has ended with 0."""
        found = services()
        order = TopologicalSorter({name: one.get("depends_on", {}) for name, one in found.items()})
        for name in order.static_order():
            self.start(name)

    def start(self, name: str) -> None:
        service = services()[name]
        if service["restart"] == "no":
            self.engine.call("run", "--rm", *self._flags(name), limit_s=CALL_LIMIT_S)
            return
        self.engine.call("run", "--detach", *self._flags(name), limit_s=CALL_LIMIT_S)
        if service["healthcheck"].get("test"):
            self._until_healthy(name)

    def _until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + HEALTHY_LIMIT_S
        test = services()[name]["healthcheck"]["test"]
        while (done := self.run_in(name, *test[1:])).returncode != 0:
            said = f"{done.stdout}{done.stderr}\n{self.log(name)}"
            assert self._is_running(name), said
            assert time.monotonic() < deadline, said
            time.sleep(POLL_S)

    def _is_running(self, name: str) -> bool:
        state = self.engine.inspect(self.name(name))["State"]
        return state["Status"] in ("running", "created")

    def run_in(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in a running container."""
        return self.engine.call(
            "exec", self.name(service), *command, check=False, limit_s=CALL_LIMIT_S
        )

    def log(self, service: str) -> str:
        done = self.engine.call("logs", self.name(service), check=False)
        return f"{done.stdout}{done.stderr}"[-3000:]

    def _flags(self, name: str) -> list[str]:
        """What Compose tells the engine of a service."""
        service = services()[name]
        flags = ["--name", self.name(name), *self.engine.run_flags, *self._confined(service)]
        if service.get("network_mode") == "none":
            flags += ["--network", "none"]
        else:
            flags += ["--network", f"container:{self.mark}", *self._hosts()]
        for variable, text in (service.get("environment") or {}).items():
            flags += ["--env", f"{variable}={text}"]
        for place in service.get("tmpfs", ()):
            flags += ["--tmpfs", place]
        for volume in service.get("volumes", ()):
            flags += ["--volume", self._volume(volume)]
        command = list(service.get("command") or ())
        if entrypoint := service.get("entrypoint"):
            flags += ["--entrypoint", entrypoint[0]]
            command = [*entrypoint[1:], *command]
        return [*flags, self.images[service["image"].partition(":")[0]], *command]

    def _confined(self, service: Service) -> Iterator[str]:
        yield from ("--read-only", "--user", service["user"], "--no-healthcheck")
        yield from (f"--cap-drop={one}" for one in service["cap_drop"])
        yield from (f"--cap-add={one}" for one in service.get("cap_add", ()))
        # Podman knows this one without its value alone.
        yield from (f"--security-opt={one.partition(':')[0]}" for one in service["security_opt"])

    def _hosts(self) -> list[str]:
        """Podman has no names for who joins a network; Docker takes those of whom it joins."""
        if not self.engine.program.endswith("podman"):
            return []
        return ["--no-hosts", "--volume", f"{self.folder}/hosts:/etc/hosts:ro"]

    def _volume(self, volume: Mapping[str, str]) -> str:
        source, target = volume["source"], volume["target"]
        if volume["type"] == "volume":
            return f"{self.mark}-{source}:{target}"
        return f"{source}:{target}:ro"

    def down(self) -> None:
        """Nothing is left: no container, no volume."""
        for name in [*(self.name(one) for one in services()), self.mark]:
            self.engine.call("kill", name, check=False)
            self.engine.call("rm", "--force", name, check=False)
        for volume in ("core", "s3", "temporal"):
            self.engine.call("volume", "rm", "--force", f"{self.mark}-{volume}", check=False)


@contextlib.contextmanager
def composed(
    engine: Engine, base: str, images: Mapping[str, str], folder: Path
) -> Iterator[Composed]:
    """A network namespace with no way out, and what runs in it; at the end nothing is left."""
    (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(services())}\n")
    names = [] if engine.program.endswith("podman") else services()
    running = Composed(engine, f"kbg-compose-{uuid.uuid4().hex[:8]}", folder, images)
    engine.call(
        *("run", "--detach", "--name", running.mark, *engine.run_flags, "--network", "none"),
        *(f"--add-host={name}:127.0.0.1" for name in names),
        *("--read-only", base, "sleep", "infinity"),
    )
    try:
        yield running
    finally:
        running.down()


def python_in(running: Composed, service: str, code: str, *words: str) -> Sequence[str]:
    """What a program says that runs in a container; fails with its words when it fails."""
    done = running.run_in(service, "python", "-c", code, *words)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{running.log('gateway')}"
    answer: Sequence[str] = json.loads(done.stdout.splitlines()[-1])
    return answer
