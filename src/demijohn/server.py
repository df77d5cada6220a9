"""``demijohn serve``: one address, several worker processes, none of which is indispensable.

A supervisor (this process) forks workers; each loads the app and serves it through Granian on a
socket of its own, among which the kernel spreads new connections (SO_REUSEPORT).

``supervisor`` keeps the workers alive, ``worker`` is one of them, ``gateway`` turns requests into
WSGI calls, ``request_body`` keeps slow ones from holding threads, ``slots`` is the memory they share.
"""

from __future__ import annotations

import errno
import gc
import importlib.metadata
import os
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .config import Settings
from .errors import ConfigurationError
from .supervisor import Supervisor
from .worker import BACKLOG, LoadApp, WorkerOptions, bind

SPARE_THREADS = 64  #: Beyond what one model's queue may hold: for pages, health, refusals.
_MOST_THREADS = 8192
_MOST_FILES = 65_536
_SPARE_FILES = 256
_MOST_CONNECTIONS = 16_384
_OLDEST_GRANIAN = (2, 7, 4)
_METRICS_PREFIX = "demijohn-metrics-"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where and how to serve."""

    host: str = "127.0.0.1"
    port: int = 8000  #: 0 takes a free one; ``announce`` tells which.
    workers: int = 1
    threads: int | None = None  #: Of each worker; None: what a queue may hold, and some to spare.
    access_log: bool = False  #: One line per request to stderr.


def serve(
    load_app: LoadApp,
    options: ServerOptions,
    settings: Settings,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; call it in the main thread.

    From here on PROMETHEUS_MULTIPROC_DIR names a private folder where the workers count, unless the
    operator named one.

    Args:
        load_app: Makes the WSGI application; called in each worker, after the fork. Models are best
            loaded before and held by its closure: the workers then share their memory.
        options: Where to listen.
        settings: For the deadline, the body timeout and the queue.
        announce: Called once with the URL, when the first worker serves.

    Returns:
        The exit status: 0, or 2 if no worker could load the app (why is on stderr then).

    Raises:
        ConfigurationError: the address cannot be had, or this system cannot serve.
    """
    _check_system()
    address, family = _find_address(options)
    with _reserved(address, family, options) as (address, reservation), _multiprocess_metrics():
        threads = options.threads or min(settings.max_queue_rows + SPARE_THREADS, _MOST_THREADS)
        worker_options = WorkerOptions(
            address=address,
            family=family,
            threads=threads,
            max_connections=_raise_file_limit(),
            body_timeout_s=settings.body_timeout_s,
            access_log=options.access_log,
            n_workers=options.workers,
            shared_listener=None if sys.platform == "linux" else reservation,
        )
        supervisor = Supervisor(
            load_app=load_app,
            options=worker_options,
            n_workers=options.workers,
            deadline_s=settings.deadline_s,
            on_ready=lambda: announce(_url(options.host, address[1])) if announce else None,
        )
        # What was loaded so far stays as it is: workers that need not look at it share its pages.
        gc.collect()
        gc.freeze()
        status = supervisor.run()
        if status:
            print(f"demijohn: {supervisor.failure}", file=sys.stderr)  # noqa: T201  - as promised
        return status


def _check_system() -> None:
    if not hasattr(os, "fork"):
        raise ConfigurationError("demijohn serve needs a system that forks; on Windows, use WSL")
    version = importlib.metadata.version("granian")
    if tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) < _OLDEST_GRANIAN:
        raise ConfigurationError(
            f"Granian {version} aborts on some response headers (CVE-2026-42545): install 2.7.4 or later"
        )


# The address --------------------------------------------------------------------------------


def _find_address(options: ServerOptions) -> tuple[tuple[str, int], int]:
    if not 0 <= options.port <= 65_535:
        raise ConfigurationError(f"{options.port} is no port: use 0 to 65535")
    try:
        found = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"Cannot listen on {options.host!r}: no such host") from error
    # "localhost" may be both; every client tries IPv4.
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return (str(address[0]), int(address[1])), family


@contextmanager
def _reserved(
    address: tuple[str, int], family: int, options: ServerOptions
) -> Iterator[tuple[tuple[str, int], socket.socket]]:
    """Hold a port while the workers come and go; yields it, and the socket that holds it.

    Raises:
        ConfigurationError: it cannot be had.
    """
    try:
        # SO_REUSEPORT would let a second server share the port in silence, so ask without it first.
        with bind(address, family, alone=True) as probe:
            probe.listen()
            address = (address[0], probe.getsockname()[1])
        reservation = bind(address, family)
    except OSError as error:
        raise ConfigurationError(_why_not(error, options)) from error
    with reservation:
        # Without this flag, nobody who asks as above gets the port, even while no worker listens.
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        if sys.platform != "linux":
            reservation.listen(BACKLOG)
        yield address, reservation


def _why_not(error: OSError, options: ServerOptions) -> str:
    reasons = {
        errno.EADDRINUSE: f"Port {options.port} of {options.host} is in use; choose another with --port",
        errno.EACCES: f"May not listen on port {options.port}: ask for one above 1023 with --port",
        errno.EADDRNOTAVAIL: f"{options.host} is no address of this machine",
    }
    return reasons.get(error.errno or 0, f"Cannot listen on {options.host}:{options.port}: {error.strerror}")


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


# The process --------------------------------------------------------------------------------


def _raise_file_limit() -> int:
    """Allow this process and its workers many open files; returns how many may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    # Granian spins when it may not open one more, so it must stop before.
    free = _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - _SPARE_FILES
    return max(SPARE_THREADS, min(free, _MOST_CONNECTIONS))


@contextmanager
def _multiprocess_metrics() -> Iterator[None]:
    """Give the workers a private folder for what they count."""
    key = "PROMETHEUS_MULTIPROC_DIR"
    if key in os.environ:  # the operator keeps one
        yield
        return
    with private_folder(_METRICS_PREFIX) as folder:
        os.environ[key] = str(folder)
        try:
            yield
        finally:
            del os.environ[key]


@contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """Make a folder for what the processes of this server tell each other; it goes with the server.

    Args:
        prefix: Of its name; such folders of servers that were killed before they could are removed.
    """
    _remove_orphans(prefix)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))  # mode 0700
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_orphans(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not _lives(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)  # it may be another user's


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is another user's
        return True
    return True
