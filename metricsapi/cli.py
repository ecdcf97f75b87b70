"""The command line: `metricsapi serve | sandbox | doctor | statusz | version`.

Each command imports only its own parts, when it runs: the server must not pay memory for the
sandbox. Exit status: 0 done, 1 failed, 2 bad usage.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

LEAST_PYTHON = (3, 11)
USAGE = """\
A Metrics API server for Kubernetes, compatible with metrics-server.

Usage: metricsapi COMMAND [flags]

Commands:
  serve     serve metrics.k8s.io for a cluster (takes metrics-server's flags)
  sandbox   an embedded cluster on this machine, with its real usage
  doctor    check what makes installations fail (takes the flags of serve)
  statusz   show the status page of a running server on loopback
  version   print the version

'metricsapi COMMAND --help' shows the flags of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is without the program's name. Returns the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if sys.version_info < LEAST_PYTHON:
        have, need = (".".join(map(str, v)) for v in (sys.version_info[:3], LEAST_PYTHON))
        return _fail(f"Python {have} is too old: metricsapi needs {need} or newer")
    _let_sigterm_end_us()
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if args else 2
    command = _COMMANDS.get("version" if args[0] == "--version" else args[0])
    if command is None:
        import difflib  # noqa: PLC0415

        near = difflib.get_close_matches(args[0], _COMMANDS, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return _fail(f"unknown command {args[0]!r}{hint}; 'metricsapi --help' lists them", 2)
    try:
        return command(args[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _let_sigterm_end_us() -> None:
    """Let SIGTERM end process 1 of a container too, until `serve` has a handler of its own.

    The kernel does not deliver a signal without a handler to process 1 (pid_namespaces(7)): a pod
    that is deleted while it starts would stay until it is killed.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _serve(args: list[str]) -> int:
    from metricsapi.config.command_line import wants_help  # noqa: PLC0415
    from metricsapi.config.read import help_text, read_settings  # noqa: PLC0415

    if wants_help(args):
        print(help_text("metricsapi serve"), end="")
        return 0
    settings, parsed = read_settings(args, os.environ)
    if settings.version:
        return _version([])
    if parsed.problems:
        for problem in parsed.problems:
            _fail(problem)
        return _fail("'metricsapi serve --help' lists the flags", 2)

    from metricsapi.telemetry import logs  # noqa: PLC0415

    logs.configure(settings.logging.format, settings.logging.verbosity)
    for note in parsed.notes:
        logs.LOG.warning("flags", extra={"data": {"note": note}})

    from metricsapi.kube.errors import CredentialsError  # noqa: PLC0415
    from metricsapi.kube.files import FileError  # noqa: PLC0415
    from metricsapi.server.auth.configuration import ConfigurationError  # noqa: PLC0415
    from metricsapi.server.run import run  # noqa: PLC0415
    from metricsapi.server.tls.context import TLSError  # noqa: PLC0415

    try:
        return run(settings)
    except (CredentialsError, ConfigurationError, FileError, TLSError, OSError) as error:
        return _fail(str(error))


def _sandbox(args: list[str]) -> int:
    try:
        from metricsapi.tools.sandbox.main import main as sandbox  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name == "psutil":
            return _fail(
                "the sandbox needs psutil: pip install 'metricsapi[sandbox]', "
                "or 'make run' in a checkout"
            )
        if error.name == "metricsapi.tools.sandbox":
            return _fail(
                "the sandbox is not part of the image: pip install 'metricsapi[sandbox]', "
                "or 'make run' in a checkout"
            )
        raise
    return sandbox(args)


def _doctor(args: list[str]) -> int:
    from metricsapi.tools.doctor.main import main as doctor  # noqa: PLC0415

    return doctor(args)


def _statusz(args: list[str]) -> int:
    from metricsapi.tools.statusz import main as statusz  # noqa: PLC0415

    return statusz(args)


def _version(args: list[str]) -> int:
    from metricsapi import __version__  # noqa: PLC0415

    if args:
        return _fail(f"version takes no arguments, not {args[0]!r}", 2)
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"metricsapi {__version__} (Python {python})")
    return 0


def _fail(message: str, status: int = 1) -> int:
    from metricsapi.telemetry.printable import printable  # noqa: PLC0415

    print(f"metricsapi: {printable(message)}", file=sys.stderr)
    return status


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "serve": _serve,
    "sandbox": _sandbox,
    "doctor": _doctor,
    "statusz": _statusz,
    "version": _version,
}
