"""The ``gateway`` command. Exit codes: 0 done, 1 a fault in settings or a dependency, 2 usage."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.commands import check, sources
from gateway.optional_imports import hidden_packages
from gateway.settings import SPECS, Reading, Settings, SettingsError

if TYPE_CHECKING:
    from gateway.commands.policy_report import PolicyReport

OK, FAULT, USAGE = 0, 1, 2

# What libraries that are not Python's read of the environment when a worker imports them.
LIBRARIES = {
    # Temporal's core (Rust) would start a thread for each CPU, for a few calls a second.
    "TOKIO_WORKER_THREADS": "1",
    # gRPC's core (C++) would write lines of its own into the log; we are told by exceptions.
    "GRPC_VERBOSITY": "NONE",
    # Its event engine hands each message of a core from thread to thread: a third more CPU time.
    "GRPC_EXPERIMENTS": "-event_engine_client",
    # Its fork handlers can crash a child between fork and exec. What a worker starts is another
    # program (``opa``), which has no use for them.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}

Environ = Mapping[str, str]
Handler = Callable[[argparse.Namespace], int]

NEEDS_DEVSTACK = (
    "gateway demo: the development stack is not installed. "
    "Install it with: pip install 'knowledge-base-gateway[devstack]' "
    "(in a checkout: pip install '.[devstack]')"
)


def main(argv: Sequence[str] | None = None, environ: Environ | None = None) -> int:
    """Runs one command; only this function reads the process's environment."""
    _open_standard_descriptors()
    arguments = list(sys.argv[1:] if argv is None else argv)
    environ = os.environ if environ is None else environ
    if arguments[:1] == ["demo"]:
        # The demo has options and a help page of its own.
        return _demo(arguments[1:])
    if arguments[:1] == ["probe"] and arguments[1:] in ([], ["--ready"]):
        # The former name of ``health``, for one version: without an address.
        arguments[0] = "health"
    parsed = make_parser(environ).parse_args(arguments)
    handler: Handler = parsed.handler
    try:
        return handler(parsed)
    except SettingsError as problem:
        return _settings_faults(problem, sources.unread(parsed, environ))
    except KeyboardInterrupt:
        return 128 + 2


def _open_standard_descriptors() -> None:
    """Gives the process the descriptors 0 to 2 where it was started without one (``2>&-``).

    The next file or socket would get the free number, and with it what is printed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
    # Python has none of these two where it found the descriptor closed.
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def make_parser(environ: Environ) -> argparse.ArgumentParser:
    """All commands with their help. A parsed command's ``handler`` runs it and returns the code."""
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="The API gateway of a knowledge base.",
        epilog=_epilog("""
            settings come from the environment (GATEWAY_…), then .env, then a TOML file, then
            defaults; 'gateway check' shows them all.

            examples:
              gateway demo                      start everything on this machine, ask a question
              gateway init                      write a .env for this machine, see what is missing
              gateway check --connect           settings, faults, and which dependencies answer
              gateway serve --workers 4         serve
        """),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_init(commands, environ)
    _add_serve(commands, environ)
    _add_check(commands, environ)
    _add_health(commands, environ)
    _add_probe(commands, environ)
    _add_setup(commands, environ)
    _add_user(commands, environ)
    _add_limits(commands, environ)
    _add_demo(commands)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for what add_subparsers gives


def _add(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    handler: Handler,
    summary: str,
    epilog: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=_epilog(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    return parser


def _epilog(text: str) -> str:
    return dedent(text).strip("\n")


def _add_serve(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    parser = _add(
        commands,
        "serve",
        lambda parsed: _serve(parsed, environ),
        "serve the API until SIGTERM or SIGINT",
        """
        On SIGTERM (or SIGINT) the gateway reports not ready and still serves everything for
        GATEWAY_DRAIN_GRACE. Running requests and streams may then go on until
        GATEWAY_DRAIN_LIMIT. A second SIGINT ends them at once. On SIGHUP secrets, users and
        policy are read again.

        examples:
          gateway serve
          gateway serve --workers 4 --host 0.0.0.0
          gateway serve --config dev.toml --port 8000
        """,
    )
    parser.add_argument("--workers", metavar="N", help="worker processes ($GATEWAY_SERVER_WORKERS)")
    parser.add_argument("--host", help="address to listen on ($GATEWAY_SERVER_HOST)")
    parser.add_argument("--port", help="port to listen on ($GATEWAY_SERVER_PORT)")
    sources.add_options(parser)


def _add_check(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    parser = _add(
        commands,
        "check",
        lambda parsed: _check(parsed, environ),
        "print every setting with its source, the policy, and every fault",
        """
        Secrets are shown as set or unset. Exits with 1 when there is a fault: in a setting, in a
        file that one names, in the policy, or in an address this machine does not have.

        examples:
          gateway check
          gateway check --connect --config dev.toml
        """,
    )
    parser.add_argument(
        "--connect",
        action="store_true",
        help="also ask the core, the policy, both buckets and Temporal",
    )
    sources.add_options(parser)


def _add_health(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    parser = _add(
        commands,
        "health",
        lambda parsed: _health(parsed, environ),
        "ask the gateway on this machine whether it is alive",
        """
        Asks /healthz at GATEWAY_SERVER_HOST and GATEWAY_SERVER_PORT: for the health checks of
        container engines. Exits with 1 when it is not alive or does not answer.

        examples:
          gateway health
          gateway health --ready
        """,
    )
    parser.add_argument(
        "--ready", action="store_true", help="ask /readyz: whether it is ready for traffic"
    )


def _add_probe(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    parser = _add(
        commands,
        "probe",
        lambda parsed: _probe(parsed, environ),
        "measure what stands between you and a gateway's streams",
        """
        Asks GET /api/v1/probe for events at known times, for a silence, and leaves one stream in
        the middle; then says what holds events up, cuts, swallows or changes them, and what to
        change in which proxy. Needs a token or an API key that may probe:run, in a file, on
        standard input (-), or in GATEWAY_PROBE_TOKEN. Exits with 1 when something is in the way.

        examples:
          gateway probe https://kb.example.com --token-file token
          gateway probe https://kb.example.com --silence 0 --json
        """,
    )
    parser.add_argument("url", metavar="URL", help="the gateway's address as its clients have it")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="- is standard input")
    parser.add_argument(
        "--silence",
        type=float,
        default=14.0,
        metavar="SECONDS",
        help="how long nothing is sent, to see whether that is cut: 0 to 15 (default: 14)",
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="authorities to trust, in PEM")
    parser.add_argument("--json", action="store_true", help="for programs")


def _probe(parsed: argparse.Namespace, environ: Environ) -> int:
    from gateway.commands.probe import command

    return command.run(parsed, environ.get(command.TOKEN, ""))


def _add_setup(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    parser = _add(
        commands,
        "setup",
        lambda parsed: _setup(parsed, environ),
        "make the buckets, or bring them up to date: versioning, CORS, lifecycle",
        """
        Safe to run again. The credentials in the settings must be allowed to make buckets.

        examples:
          gateway setup
          gateway setup --config dev.toml
        """,
    )
    sources.add_options(parser)


def _add_init(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    from gateway.commands import init

    init.register(commands, environ)


def _add_user(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    from gateway.commands import users

    users.register(commands, sources.users_file(environ))


def _add_limits(commands: Commands[argparse.ArgumentParser], environ: Environ) -> None:
    from gateway.commands import limits

    limits.register(
        commands, lambda parsed: sources.load(parsed, environ), add_config=sources.add_options
    )


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    """Only for the list of commands: ``main`` passes ``demo`` and its arguments to the demo."""
    commands.add_parser(
        "demo",
        help="start everything on this machine, upload a document, ask, stream the answer",
        add_help=False,
    )


def _serve(parsed: argparse.Namespace, environ: Environ) -> int:
    given = {"server_workers": parsed.workers, "server_host": parsed.host}
    given["server_port"] = parsed.port
    overrides = {SPECS[name].env or "": text for name, text in given.items() if text is not None}

    def load() -> Settings:
        return sources.load(parsed, {**environ, **overrides})

    for name, value in LIBRARIES.items():
        os.environ.setdefault(name, value)
    settings = load()
    sources.say_which(parsed, environ)
    # structlog and httpx import these packages if they are installed, for features we don't use. So
    # the whole application is imported here, and not where it is first needed.
    with hidden_packages("rich", "click", "pygments"):
        importlib.import_module("gateway.app")
        from gateway.commands.start_faults import start_faults
        from gateway.process import listeners
        from gateway.process.serving import serve

    # Checked here for a clear message: a worker that cannot start can only log a traceback.
    faults = start_faults(settings)
    if faults:
        raise SettingsError(faults)
    try:
        return serve(settings, load)
    except OSError as problem:
        address = listeners.shown(settings.server_host, settings.server_port)
        print(f"gateway serve: cannot listen on {address}: {problem}", file=sys.stderr)
        return FAULT


def _health(parsed: argparse.Namespace, environ: Environ) -> int:
    from gateway.commands import health

    return health.main(["--ready"] if parsed.ready else [], environ)


def _check(parsed: argparse.Namespace, environ: Environ) -> int:
    reading = sources.reading(parsed, environ)
    policy = _policy(reading)
    faults = [*check.all_faults(reading), *(policy.faults if policy else ())]
    print("\n".join(check.settings_lines(reading, faults, policy)).lstrip("\n"))
    print(end=sources.what_is_next(parsed, environ, faults))
    if reading.faults or not parsed.connect:
        return FAULT if faults else OK
    # Whatever else is to mend, the dependencies can be asked.
    connected = _connect(Settings(**reading.values))
    return FAULT if faults else connected


def _policy(reading: Reading) -> PolicyReport | None:
    """What the settings serve; nothing is known of it where one of them cannot be read."""
    if reading.faults:
        return None
    # Loads an engine, which only this command needs in its own process.
    from gateway.commands.policy_report import policy_report

    return policy_report(Settings(**reading.values))


def _connect(settings: Settings) -> int:
    from gateway.edge.observe import log_output

    log_output.configure("error", settings.log_format)
    probes = asyncio.run(check.connect(settings))
    print("\nDependencies", *probes, sep="\n")
    return FAULT if any(probe.fault for probe in probes) else OK


def _setup(parsed: argparse.Namespace, environ: Environ) -> int:
    settings = sources.load(parsed, environ)
    from gateway.commands import setup_buckets
    from gateway.edge.observe import log_output

    log_output.configure("warning", settings.log_format)
    return setup_buckets.run(settings)


def _demo(arguments: Sequence[str]) -> int:
    # moto is in the extra, and no other package of the gateway depends on it.
    if importlib.util.find_spec("moto") is None:
        print(NEEDS_DEVSTACK, file=sys.stderr)
        return USAGE
    demo_main: Callable[[list[str]], int] = importlib.import_module("devstack.demo.cli").main
    return demo_main(list(arguments))


def _settings_faults(problem: SettingsError, also: str) -> int:
    if sources.nothing_is_set(problem.faults):
        print(sources.HOW_TO_BEGIN, end=f"\n{also}", file=sys.stderr)
        return FAULT
    print("The settings are not usable:", file=sys.stderr)
    for fault in problem.faults:
        print(f"  {fault}", file=sys.stderr)
    print(f"{also}'gateway check' shows all of them.", file=sys.stderr)
    return FAULT
