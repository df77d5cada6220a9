"""One worker process: loads the app, serves it through Granian, drains.

Rules of this room:
1. It is the only room that knows Granian, and all that it uses of it stands in ``_Server``.
2. SIGTERM drains; SIGINT and SIGHUP, which a terminal sends to the whole group, are the
   supervisor's to answer. The process does not outlive its supervisor.
3. Draining loses nothing: first every answer ends its connection, so that kept-alive clients leave
   by themselves; then new connections are turned away while those under way still get in; then
   what is idle is closed and what is in flight is finished.

Sources: Granian 2.8.7, src/workers.rs, src/serve.rs (what WorkerSignal does); bpf(4), socket(7).
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import gc
import logging
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from granian.http import HTTP1Settings

from . import connections
from . import lifecycle as lifecycles
from .balance import Balance
from .errors import DemijohnError
from .gateway import Application, Gateway
from .lifecycle import Lifecycle
from .request_body import BodyWatch
from .slots import Slot, Slots, State, WorkerLifecycle

logger = logging.getLogger("demijohn")

_granian: Any = import_module("granian._granian")  # what types it has describe less than half of it

LoadApp = Callable[[Lifecycle], Application]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FAILED_TO_LOAD = 3  #: Exit status of a worker whose app could not be loaded.
BACKLOG = 2048
GRACE_S = 0.5  # every answer ends its connection
_REFUSAL_S = 0.25  # of which: no new connections
_QUIET_S = 0.5
_LOOK_AGAIN_S = 0.05
_IDLE_THREAD_S = 60
_HEADER_TIMEOUT_MS = 30_000
_STALLED_CLIENT_MS = 30_000
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 8 * 2**20
_LONGEST_KEPT_BYTES = 4 * 2**20
_SO_ATTACH_FILTER = 26
_HIGHEST_FD = 65_000
_N_LISTENER_FDS = 2


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker serves."""

    address: tuple[str, int]  #: A numeric host and a port.
    family: int
    threads: int  #: Requests that may be in hand at a time.
    max_connections: int
    body_timeout_s: float
    access_log: bool
    n_workers: int = 1  #: Among which connections are to be spread.
    shared_listener: socket.socket | None = None  #: Where the system cannot give each worker its own.


@dataclass(frozen=True, slots=True)
class SupervisorLink:
    """What a worker knows of the process that started it."""

    pid: int
    life: int  #: Reading end of a pipe that ends with the supervisor.
    not_ours: tuple[int, ...] = ()  #: Descriptors that only the supervisor may hold.


def run_worker(
    load_app: LoadApp, options: WorkerOptions, slots: Slots, slot: Slot, supervisor: SupervisorLink
) -> NoReturn:
    """Be a worker, in a process that was forked for it.

    Args:
        load_app: Makes the WSGI application; whatever it raises is told through the slot.
        options: For the server.
        slots: Shared with the supervisor.
        slot: Of this process.
        supervisor: What ties this process to it.
    """
    _obey(supervisor)
    keep_memory()
    lifecycle = WorkerLifecycle(slots, slot)
    lifecycles.install(lifecycle)
    try:
        application = load_app(lifecycle)
        wake = _await_sigterm()
        server = _start(application, lifecycle, options)
    except BaseException as error:  # foreign code; the supervisor tells the operator
        logger.debug("the app could not be loaded", exc_info=error)
        slot.reason = _reason(error)
        slot.state = State.FAILED
        leave(FAILED_TO_LOAD)
    slot.state = State.READY
    if options.shared_listener is None and options.n_workers > 1:
        Balance(slots, slot, server.gateway).start()
    _wait(wake, supervisor.life, None)
    slot.state = State.DRAINING
    lifecycle.drain()
    _wait(wake, supervisor.life, GRACE_S - _REFUSAL_S)
    server.refuse_connections()
    _wait(wake, supervisor.life, _REFUSAL_S)
    server.stop()
    leave(0)


def _start(application: Application, lifecycle: Lifecycle, options: WorkerOptions) -> _Server:
    # What was loaded lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    half, quarter = max(1, options.threads // 2), max(1, options.threads // 4)
    watch = BodyWatch(max_waiting=half, max_ending=quarter, timeout_s=options.body_timeout_s)
    watch.start()
    gateway = Gateway(application, watch, lifecycle, is_logging=options.access_log)
    return _Server(lifecycle.worker_id, gateway, options)


class _Server:
    """Granian, serving one gateway from this process."""

    def __init__(self, number: int, gateway: Gateway, options: WorkerOptions) -> None:
        for name in ("_granian", "hyper", "hyper_util", "mio", "tokio"):
            logging.getLogger(name).setLevel(logging.ERROR)  # it warns of each slow client
        self.gateway = gateway
        self._listener = options.shared_listener or _moved_up(bind(options.address, options.family))
        self._signal = _granian.WorkerSignal()
        self._stopped = threading.Event()
        self._signal.add_cb(self._stopped.set)
        loop = asyncio.new_event_loop()  # asked for, but never run for WSGI
        worker = _granian.WSGIWorker(
            worker_id=number,
            sock=(None, _holder(self._listener)),
            ipc=None,
            threads=1,
            py_threads=options.threads,
            py_threads_idle_timeout=_IDLE_THREAD_S,
            backpressure=options.max_connections,
            http_mode="1",
            http1_opts=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS),
        )
        worker.serve_mtr(_granian.CallbackScheduler(loop, gateway, None, None, None), loop, self._signal)

    def refuse_connections(self) -> None:
        """Let in nobody who has not knocked yet.

        Closing the listening socket would reset the connections that wait to be accepted. So a
        filter first drops what asks for a new one (a SYN); whoever asked meets a closed port when
        TCP asks again.
        """
        if sys.platform == "linux":
            _drop_syns(self._listener)

    def stop(self) -> None:
        """Stop listening, close what is idle, finish what is in flight; returns when that is done.

        Granian would wait for half a request's head too, so this does not wait for Granian when
        nothing is in hand and all that was answered is on its way.
        """
        self._listener.close()
        self._signal.set()
        quiet_s = 0.0
        while quiet_s < _QUIET_S and not self._stopped.wait(_LOOK_AGAIN_S):
            is_busy = self.gateway.n_in_hand or connections.are_sending()
            quiet_s = 0.0 if is_busy else quiet_s + _LOOK_AGAIN_S


def bind(address: tuple[str, int], family: int, *, alone: bool = False) -> socket.socket:
    """Bind a TCP socket.

    Args:
        address: Host and port.
        family: Of the host.
        alone: Fail if anybody has the port; else other processes of the same user may have it too.

    Raises:
        OSError: the address cannot be had.
    """
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not alone:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # What is accepted inherits these.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a client that takes nothing of its answer
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_CLIENT_MS)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _moved_up(listener: socket.socket) -> socket.socket:
    """Give a listening socket the highest descriptor.

    When a process is killed, Linux closes its sockets from the highest descriptor down. So this one
    is gone when the first of its clients hears of the death and connects anew: that goes to another
    worker, and not into the queue of the dead one.
    """
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1 - _N_LISTENER_FDS
    fd = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, max(0, min(highest, _HIGHEST_FD)))
    listener.close()
    return socket.socket(fileno=fd)


def _holder(listener: socket.socket) -> Any:
    fd = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, listener.fileno())  # Granian closes its own
    backlog = [BACKLOG] if sys.platform == "linux" else []
    return _granian.SocketHolder(fd, False, *backlog)


def _drop_syns(listener: socket.socket) -> None:
    # struct sock_filter {code, jt, jf, k}: the packet begins with the TCP header, flags are byte 13.
    instructions = [
        (0x30, 0, 0, 13),  # load the flags
        (0x54, 0, 0, 0x12),  # of those, SYN and ACK
        (0x15, 0, 1, 0x02),  # SYN alone asks for a connection:
        (0x06, 0, 0, 0),  # drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # let the rest in
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in instructions))
    program = struct.pack("@HP", len(instructions), ctypes.addressof(code))  # struct sock_fprog
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _await_sigterm() -> int:
    """From now on SIGTERM only wakes the main thread; returns the descriptor that it writes to."""
    wake, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return wake


def _wait(wake: int, supervisor: int, seconds: float | None) -> None:
    """Wait for SIGTERM, or for so many seconds; leave at once if the supervisor is gone."""
    poll = select.poll()
    poll.register(supervisor, select.POLLIN)
    if seconds is None:
        poll.register(wake, select.POLLIN)
    if any(fd == supervisor for fd, _ in poll.poll(None if seconds is None else seconds * 1000)):
        leave(0)


def _obey(supervisor: SupervisorLink) -> None:
    """Leave signals to the supervisor, and die with it even while a model holds the interpreter."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is in flight yet
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    for fd in supervisor.not_ours:
        os.close(fd)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor.pid:  # it was gone before that
        leave(0)


def keep_memory() -> None:
    """Have the C library keep what one request has freed, up to a limit, for the next.

    glibc gives memory back as soon as 128 KiB at the end of an arena are free, or a little more once larger
    blocks have come and gone. A request whose arrays take 1 MiB then has it given anew, page by page: half of
    its time. Whoever has set the environment's MALLOC_ variables or GLIBC_TUNABLES knows better.

    Source: mallopt(3).
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LONGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def leave(status: int) -> NoReturn:
    """End the process; threads that still wait for something are not asked."""
    with suppress(OSError, ValueError):  # nobody may read them any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _reason(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, DemijohnError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
