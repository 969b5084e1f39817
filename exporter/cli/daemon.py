"""What ``run`` and ``demo`` share: the event loop that the daemon runs in, and its exit codes.

The loop's time includes suspensions of the machine. Whatever happens the process ends: a thread
that hangs in a disk is not waited for, and a crash is one line without a traceback.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import ModuleType
from typing import Any

from exporter.app.options import Options
from exporter.cli import Exit
from exporter.cli.options import route_prefix, show
from exporter.kernel.override import override
from exporter.kernel.problems import traceback_line
from exporter.observe.logs import Output, describe
from exporter.store.ledger import StateInUseError
from exporter.web.address import BadWebConfig, CannotListen

DEFAULT_LISTEN = ":10187"
FAST_FROM = 100
"""Targets from which uvloop's loop is worth its 2.3 MB and its milliseconds of start."""
_GRACE = 1.0
"""Seconds that threads have to end by themselves after the daemon."""


def options_of(args: argparse.Namespace, *, listen: str = DEFAULT_LISTEN) -> Options:
    """Return the daemon's options as the command line gives them."""
    prefix = route_prefix(args)
    return Options(
        listen=tuple(args.listen or (listen,)),
        web_config_file=args.web_config_file,
        telemetry_path=args.telemetry_path,
        route_prefix=prefix,
        external_url=args.external_url,
        most_connections=args.most_connections,
        lifecycle=args.lifecycle,
        exporter_metrics=args.exporter_metrics,
        auto_reload=getattr(args, "auto_reload", False),
        log_level=args.log_level,
        log_format=args.log_format,
        revision=os.environ.get("USAGE_EXPORTER_REVISION", ""),
        branch=os.environ.get("USAGE_EXPORTER_BRANCH", ""),
    )


def in_loop(main: Callable[[], Coroutine[Any, Any, None]], targets: int = 0) -> int:
    """Run a daemon of so many targets in an event loop and return the exit code.

    The loop is uvloop's where it is installed and there is enough to do for it. Its time goes on
    while the machine is suspended.
    """
    fast = _uvloop() if targets >= FAST_FROM else None
    others = threading.enumerate()
    try:
        with asyncio.Runner(loop_factory=suspend_aware(fast)) as runner:
            runner.get_loop().set_default_executor(_Unawaited(thread_name_prefix="loop"))
            runner.run(main())
    except StateInUseError as error:
        sys.stderr.write(f"{error}\n")
        return Exit.CONFIG
    except CannotListen as error:
        sys.stderr.write(f"{error}\n")
        return Exit.LISTEN
    except BadWebConfig as error:
        show(error.problems)
        return Exit.CONFIG
    except OSError as error:  # of the web configuration and its certificates
        file = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"--web.config.file: {file}{error.strerror or error}\n")
        return Exit.CONFIG
    except Exception as error:  # noqa: BLE001 - a bug; a traceback could show secrets
        _tell_crash(error)
        _abandon_threads(others, Exit.CRASHED)
        return Exit.CRASHED
    _abandon_threads(others, Exit.FINE)
    return Exit.FINE


def suspend_aware(fast: ModuleType | None = None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes an event loop, of uvloop or asyncio, whose time includes suspensions.

    A loop's own time is CLOCK_MONOTONIC, which Linux stops in a suspension: values of before would
    look as fresh as they were, and no poll would come until its interval had run down. Where there
    is no CLOCK_BOOTTIME, a loop keeps its own time.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return fast.new_event_loop if fast else None
    boot = time.CLOCK_BOOTTIME
    base: type[asyncio.AbstractEventLoop] = fast.Loop if fast else asyncio.SelectorEventLoop

    class SuspendAwareLoop(base):  # type: ignore[valid-type, misc] # it is one of two
        """Waits by CLOCK_MONOTONIC, as the kernel does; its time() is CLOCK_BOOTTIME."""

        @override
        def time(self) -> float:
            return time.clock_gettime(boot)

    return SuspendAwareLoop


class _Unawaited(ThreadPoolExecutor):
    """Threads that the end of the loop does not wait for: one may hang in a disk that is away."""

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the base
        super().shutdown(wait=False, cancel_futures=True)


def _abandon_threads(others: Collection[threading.Thread], code: int) -> None:
    """End the process at once if a thread of the daemon hangs: Python would wait for it.

    All is done by now: the state is written, connections are closed.
    """
    for thread in threading.enumerate():
        if thread.daemon or thread in others:
            continue
        thread.join(_GRACE)
        if thread.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _tell_crash(error: Exception) -> None:
    """Write one line, unless nobody reads it: a crash must end the process."""
    output = Output(sys.stderr)
    output.line(
        "usage-exporter ended by a bug of its own, please report it: "
        f"{describe(error)} at {traceback_line(error)}"
    )
    output.close()


def _uvloop() -> ModuleType | None:
    try:
        return import_module("uvloop")
    except ImportError:
        return None
