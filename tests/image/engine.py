"""The container engine of this machine, Docker's or Podman, behind the few verbs the tests need.

An engine counts when it runs a container the way the tests do: a client whose daemon is not there,
or a Podman whose runtime cannot work with this kernel's control groups, does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devstack.components import cache_dir

BUILD_LIMIT_S = 20 * 60
CALL_LIMIT_S = 60
LAST_CHARS = 3000
PODMAN_OWN_LIMIT = 32768
# Podman's steps of a build: no runtime is needed for them; and only this format has health checks.
CHROOT = ("--format", "docker", "--isolation", "chroot")
BASE_NAME = "knowledge-base-gateway-base:bookworm"
# What a pod of ours may do, said in an engine's words.
CONFINED = (
    *("--user", "65532:65532", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--network", "host"),
)
HOW_TO_GET = (
    "no container engine answers; install Docker, or as root on Debian: "
    "apt-get install --no-install-recommends podman runc debootstrap"
)


class NoEngine(Exception):
    """There is none that works; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    """``program`` is the client; ``flags`` go before its verb, ``run_flags`` after ``run``."""

    program: str
    flags: tuple[str, ...] = ()
    run_flags: tuple[str, ...] = ()
    build_flags: tuple[str, ...] = ()

    def call(
        self,
        *arguments: str | Path,
        limit_s: float = CALL_LIMIT_S,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """One verb with its arguments; ``env`` is added to ours."""
        done = subprocess.run(
            [self.program, *self.flags, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env={**os.environ, **(env or {})},
        )
        if check and done.returncode != 0:
            said = f"{done.stdout}\n{done.stderr}"[-LAST_CHARS:]
            raise AssertionError(
                f"{self.program} {arguments[0]} ended with {done.returncode}: {said}"
            )
        return done

    def build(
        self, tag: str, context: Path, arguments: Mapping[str, str], *flags: str | Path
    ) -> dict[str, Any]:
        """Builds ``context`` and gives what ``inspect`` says of the image."""
        said = [f"--build-arg={name}={text}" for name, text in arguments.items()]
        self.call(
            *("build", *self.build_flags, *_outer_pip(), "--network", "host"),
            *(*said, *flags, "-t", tag, context),
            limit_s=BUILD_LIMIT_S,
        )
        return self.inspect(tag)

    def inspect(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.call("inspect", name).stdout)
        return found[0]

    @contextlib.contextmanager
    def aside(self, *images: str) -> Iterator[Engine]:
        """The same engine with nothing but ``images`` in store, where it can have a store aside.

        What is built there does not stay: a build without cache would leave a gigabyte each time.
        """
        if not self.program.endswith("podman"):
            yield self
            return
        with (
            tempfile.TemporaryDirectory(dir=_cache(), ignore_cleanup_errors=True) as folder,
            # Podman takes no longer name than 50 characters here.
            tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as run,
        ):
            places = ("--root", f"{folder}/store", "--runroot", run)
            other = replace(self, flags=(*self.flags, *places))
            kept = f"{folder}/images.tar"
            self.call("save", "-q", "-m", "-o", kept, *images, limit_s=BUILD_LIMIT_S)
            other.call("load", "-q", "-i", kept, limit_s=BUILD_LIMIT_S)
            yield other

    def has(self, image: str) -> bool:
        return self.call("image", "inspect", image, check=False).returncode == 0

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a container confined as in Kubernetes, and removes it when it has ended."""
        return self.call(
            "run", "--rm", *self.run_flags, *CONFINED, *arguments, env=env, check=check
        )

    def start(self, name: str, image: str, env: Mapping[str, str], *flags: str) -> None:
        """The image's own command in the background; its environment never on a command line."""
        names = [part for variable in env for part in ("--env", variable)]
        self.call(
            *("run", "--detach", "--name", name, *self.run_flags, *CONFINED),
            *(*flags, *names, image),
            env=env,
        )

    def python(self, name: str, code: str) -> subprocess.CompletedProcess[str]:
        """Runs Python inside a running container: there is nothing else to run in it."""
        return self.call("exec", name, "python", "-c", code, check=False)


def _outer_pip() -> list[str]:
    """This machine's settings for pip and its certificates, as secrets of the build."""
    places = {
        "pip.conf": [os.environ.get("PIP_CONFIG_FILE"), "/etc/pip.conf"],
        "ca.pem": [os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE")],
    }
    for name in ("~/.config/pip/pip.conf", "~/.pip/pip.conf"):
        places["pip.conf"].append(str(Path(name).expanduser()))
    flags = []
    for identity, candidates in places.items():
        if found := next((one for one in candidates if one and Path(one).is_file()), None):
            flags += ["--secret", f"id={identity},src={found}"]
    return flags


# --- Which engine, and what it builds on ---------------------------------------------------------


def find_engine() -> tuple[Engine, str]:
    """A working engine and the base image it has.

    Raises:
        NoEngine: nothing on this machine runs a container.
    """
    for engine in _candidates():
        base = _base_image(engine)
        if base is not None and _works(engine, base):
            return engine, base
    raise NoEngine(HOW_TO_GET)


def _candidates() -> list[Engine]:
    found = [Engine(docker)] if (docker := shutil.which("docker")) else []
    if podman := shutil.which("podman"):
        # Podman asks for higher limits than we, or by then Podman itself, may have; and the runtime
        # it likes best does not know every arrangement of control groups.
        limits = []
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
            most = min(resource.getrlimit(number)[1], PODMAN_OWN_LIMIT)
            limits += ["--ulimit", f"{name}={most}:{most}"]
        found += [
            Engine(podman, ("--runtime", runtime), ("--read-only-tmpfs=false", *limits), CHROOT)
            for runtime in ("crun", "runc")
            if _which(runtime)
        ]
    return [one for one in found if one.call("info", check=False).returncode == 0]


def _works(engine: Engine, base: str) -> bool:
    code = "import os; print(os.getuid())"
    done = engine.run("--entrypoint", "python3", base, "-c", code, check=False)
    return done.stdout.strip() == "65532"


def _base_image(engine: Engine) -> str | None:
    """The base that the Dockerfile names if the engine has it, else a Debian made here."""
    text = (Path(__file__).parents[2] / "Dockerfile").read_text("utf-8")
    named = text.partition("ARG BASE_IMAGE=")[2].split()[0]
    for image in (named, BASE_NAME):
        if engine.has(image):
            return image
    if os.geteuid() == 0 and _which("debootstrap"):
        engine.call("import", _debian(), BASE_NAME, limit_s=BUILD_LIMIT_S)
        return BASE_NAME
    pulled = engine.call("pull", named, check=False, limit_s=BUILD_LIMIT_S)
    return named if pulled.returncode == 0 else None


def _debian() -> Path:
    """A minimal Debian with Python as a tar file, kept in our cache: it takes a minute or two."""
    kept = _cache() / "bookworm.tar"
    if kept.exists():
        return kept
    include = "--include=python3,python3-venv,ca-certificates"
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        root, tar = Path(folder) / "root", Path(folder) / "tar"
        _call(str(_which("debootstrap")), "--variant=minbase", include, "bookworm", str(root))
        outside = [f"--exclude=./{name}/*" for name in ("dev", "proc", "sys", "var/cache/apt")]
        _call("tar", "-C", str(root), *outside, "-cf", str(tar), ".")
        tar.replace(kept)
    return kept


def _cache() -> Path:
    folder = cache_dir().with_name("image")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _which(program: str) -> str | None:
    """Debian has some where only root's PATH leads, and not each root's."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _call(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_LIMIT_S
    )
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        raise NoEngine(f"{command[0]}: {(done.stdout + done.stderr)[-500:]}")
