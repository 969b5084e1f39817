"""How log lines are written: logfmt, JSON or a console's colours, to one stream, without a secret.

Keys as Prometheus' own programs write them: ``ts`` (RFC 3339, UTC, milliseconds), ``level``,
``msg``, then snake_case fields. structlog renders; the standard library's loggers (aiohttp's,
asyncio's) go the same way. structlog is imported when logging is set up and not before, because
``--version`` needs none of it.

Exceptions are written in one line, as type, message and place, and never with a local variable: a
traceback with locals prints credentials (structlog's ``dict_tracebacks`` does), and so does the
``repr`` of aiohttp's errors (the Authorization header).

Nothing waits for a log. A pipe that nobody reads, a disk that stalls and a terminal that is stopped
block the writer, so lines go into a bounded queue and a daemon thread writes them.
"""

import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, TextIO, TypeAlias, assert_never, cast

from exporter.kernel.override import override
from exporter.kernel.problems import short_path, traceback_line
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import printable

LEVELS: Final = ("debug", "info", "warn", "error")
"""The words of ``--log.level``, of the ``level`` key and of the metric's label."""
_NUMBERS: Final = {"debug": 10, "info": 20, "warn": 30, "error": 40}
_SPELLED: Final = {"warning": "warn", "critical": "error", "fatal": "error", "exception": "error"}
_MOST_WAITING: Final = 4 * 1024 * 1024
"""Bytes of lines that wait to be written; what comes beyond them is dropped and counted."""
_LINE_COST: Final = 128  # bytes that a waiting line takes beside its text
_AT_ONCE: Final = 4096  # bytes: up to PIPE_BUF a write is not mixed with those of other processes
_FULL_PAUSE: Final = 1000  # milliseconds between two looks at a full non-blocking descriptor
_LAST_FLUSH: Final = 1.0  # seconds that the end of the process may wait for its log
_DEPTH: Final = 3  # of causes, and of exceptions in a group
_Fields: TypeAlias = MutableMapping[str, Any]
_Processor: TypeAlias = Callable[[Any, str, _Fields], Any]


class Form(StrEnum):
    """The words of ``--log.format``."""

    LOGFMT = "logfmt"
    JSON = "json"
    CONSOLE = "console"


class Log(Protocol):
    """Writes lines: a constant message, and what varies as fields."""

    def debug(self, event: str, /, **fields: object) -> None: ...
    def info(self, event: str, /, **fields: object) -> None: ...
    def warning(self, event: str, /, **fields: object) -> None: ...
    def error(self, event: str, /, **fields: object) -> None: ...


def set_up(
    *,
    level: str,
    form: Form,
    output: "Output",
    wall: Callable[[], float],
    redactor: Redactor,
    counted: Callable[[str], None],
) -> Log:
    """Send all logging of the process to `output`; return the exporter's own log.

    `level` is one of `LEVELS`; `wall` gives epoch seconds; `counted` is called with the level of
    each line. A second call replaces the first.
    """
    import structlog  # noqa: PLC0415 - 10 ms that --version and check need not pay

    complete = _completion(wall, redactor, counted)
    render = _renderer(form, colors=output.is_terminal)

    def dropped_line(count: int) -> str:
        fields = {"event": "log lines were dropped: the log was not read", "count": count}
        return str(render(None, "warning", complete(None, "warning", fields)))

    output.report_dropped_with(dropped_line)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_origin], processors=[complete, render]
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(_Handler(output, formatter))
    root.setLevel(_NUMBERS[level])
    log = structlog.wrap_logger(
        output,
        processors=[complete, render],
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        cache_logger_on_first_use=True,
    )
    return cast(Log, log)


def _completion(
    wall: Callable[[], float], redactor: Redactor, counted: Callable[[str], None]
) -> _Processor:
    """Return what makes the fields of a line of what was logged: in order and without a secret."""

    def complete(logger: object, method: str, fields: _Fields) -> _Fields:
        level = _SPELLED.get(method, method)
        counted(level if level in LEVELS else "info")
        moment = datetime.fromtimestamp(wall(), UTC).isoformat(timespec="milliseconds")
        first = {
            "ts": moment.replace("+00:00", "Z"),
            "level": level,
            "msg": fields.pop("event", ""),
        }
        fields.pop("stack_info", None)
        given = fields.pop("exc_info", None)
        error = given[1] if isinstance(given, tuple) else given
        if error is True:
            error = sys.exc_info()[1]
        if isinstance(error, BaseException):
            fields["err"] = describe(error)
            fields["at"] = traceback_line(error)
        rest = {key: value for key, value in fields.items() if not key.startswith("_")}
        return {key: redactor.value(key, value) for key, value in (first | rest).items()}

    return complete


def _renderer(form: Form, *, colors: bool) -> _Processor:
    import structlog  # noqa: PLC0415 - as in set_up

    match form:
        case Form.LOGFMT:
            logfmt = structlog.processors.LogfmtRenderer(bool_as_flag=False)

            def flat(logger: object, method: str, fields: _Fields) -> Any:
                # logfmt has no lists: a,b and not ['a', 'b'].
                for key, value in fields.items():
                    if isinstance(value, list):
                        fields[key] = ",".join(map(str, value))
                return logfmt(cast(Any, logger), method, fields)

            return flat
        case Form.JSON:
            return structlog.processors.JSONRenderer(ensure_ascii=False)
        case Form.CONSOLE:
            return structlog.dev.ConsoleRenderer(
                colors=colors, event_key="msg", timestamp_key="ts", sort_keys=False
            )
        case _:
            assert_never(form)


def _origin(logger: object, method: str, fields: _Fields) -> _Fields:
    # Our own lines are found by their constant message; others' by where they come from.
    record: logging.LogRecord = fields["_record"]
    fields["logger"] = record.name
    fields["caller"] = f"{short_path(record.pathname)}:{record.lineno}"
    return fields


def describe(error: BaseException, *, depth: int = _DEPTH) -> str:
    """Return ``TypeError: message``, with what it came from and what a group holds."""
    text = f"{type(error).__name__}: {printable(error)}".removesuffix(": ")
    if depth and isinstance(error, BaseExceptionGroup):
        inner = "; ".join(describe(one, depth=depth - 1) for one in error.exceptions[:_DEPTH])
        text = f"{text}: {inner}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if depth and cause is not None:
        return f"{text} (from {describe(cause, depth=depth - 1)})"
    return text


def log_stray_errors(log: Log) -> Callable[[], None]:
    """Log what Python itself would write to stderr, and so wait for its reader; return the undoing.

    That is what destructors and threads raise, and warnings.
    """
    before = sys.unraisablehook, threading.excepthook

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        log.error("an exception was ignored: this is a bug", err=args.exc_value)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        log.error("a thread crashed: this is a bug of the exporter", err=args.exc_value)

    def undo() -> None:
        sys.unraisablehook, threading.excepthook = before
        logging.captureWarnings(capture=False)

    sys.unraisablehook, threading.excepthook = unraisable, in_thread
    logging.captureWarnings(capture=True)
    return undo


class _Handler(logging.Handler):
    """Brings the standard library's records to the same lines."""

    def __init__(self, output: "Output", formatter: logging.Formatter) -> None:
        super().__init__()
        self._output = output
        self.setFormatter(formatter)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._output.line(self.format(record))
        except Exception as error:  # noqa: BLE001 - a bad record must not break who logs it
            self._output.line(f"level=error msg=unwritable_log_record err={type(error).__name__}")


class _Line(NamedTuple):
    """A line that waits; `dropped` is how many dropped ones it reports, 0 for all other lines."""

    data: bytes
    dropped: int = 0


class Output:
    """Takes finished lines and never waits: a thread writes them to the stream's descriptor.

    At most 4 MiB of lines wait; further ones are dropped. `dropped` is called with their number,
    and as soon as lines are written again, one line says it. The order of lines is kept. A stream
    without a descriptor (a StringIO) is written to at once; without a stream (None: the process was
    started with stderr closed) every line is dropped.
    """

    def __init__(
        self, stream: TextIO | None, *, dropped: Callable[[int], None] = lambda count: None
    ) -> None:
        self._stream = stream
        self._dropped = dropped
        self._dropped_line: Callable[[int], str] | None = None
        self._descriptor = _descriptor(stream)
        self._changed = threading.Condition()  # reentrant: a destructor may log at any instruction
        self._waiting: deque[_Line] = deque()
        self._size = 0  # of what waits, with the cost of each line
        self._unreported = 0  # dropped lines that no line has reported yet
        self._writing = False
        self._failing = False  # the last write failed, so the next line is the next try
        self._torn = False  # the last line was written in part
        self._closed = False
        self._thread: threading.Thread | None = None
        self.is_terminal = stream is not None and stream.isatty()
        self.is_of_process = self._descriptor is not None

    def report_dropped_with(self, dropped_line: Callable[[int], str]) -> None:
        """Set the function that makes the line about so many dropped ones."""
        self._dropped_line = dropped_line

    def line(self, text: str) -> None:
        """Write a line, or drop it."""
        if self._descriptor is None:
            self._write_at_once(text)
            return
        data = self._encoded(text)
        with self._changed:
            if self._closed or self._size + len(data) + _LINE_COST > _MOST_WAITING:
                self._unreported += 1
                self._dropped(1)
                return
            if self._unreported and self._size < _MOST_WAITING // 2:
                self._put(self._report())
            self._put(_Line(data))
            if self._thread is None:  # not before a line comes: `check` needs no thread
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    debug = info = warning = error = critical = line

    def close(self, seconds: float = _LAST_FLUSH) -> bool:
        """Return when everything is written, or after so many seconds: False. Drop what follows.

        The thread is a daemon: what it cannot write does not keep the process from ending.
        """
        with self._changed:
            done = self._changed.wait_for(self._is_idle, seconds)
            self._closed = True
            self._changed.notify_all()
        return done

    def _is_idle(self) -> bool:
        return not (self._waiting or self._writing or (self._unreported and not self._failing))

    def _write_at_once(self, text: str) -> None:
        if self._stream is None:
            self._dropped(1)
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed stream must not end the process
            self._dropped(1)

    def _encoded(self, text: str) -> bytes:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return f"{text}\n".encode(encoding, "backslashreplace")

    def _put(self, line: _Line) -> None:
        self._waiting.append(line)
        self._size += len(line.data) + _LINE_COST

    def _report(self) -> _Line:
        """Return the line about the dropped ones."""
        count, self._unreported = self._unreported, 0
        data = b"" if self._dropped_line is None else self._encoded(self._dropped_line(count))
        return _Line(data, count)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or not self._is_idle())
                if self._is_idle():
                    return
                lines = self._take()
                self._writing = True
            written = self._write(b"".join([line.data for line in lines]))
            with self._changed:
                self._writing = False
                self._failing = not written
                if self._failing:
                    own = sum(not line.dropped for line in lines)
                    self._unreported += own + sum(line.dropped for line in lines)
                    self._dropped(own)
                self._changed.notify_all()

    def _take(self) -> list[_Line]:
        """Return the next lines to be written together; to be called under the lock."""
        if not self._waiting:
            return [self._report()]
        lines: list[_Line] = []
        length = 0
        while self._waiting and (not lines or length + len(self._waiting[0].data) <= _AT_ONCE):
            line = self._waiting.popleft()
            self._size -= len(line.data) + _LINE_COST
            length += len(line.data)
            lines.append(line)
        return lines

    def _write(self, data: bytes) -> bool:
        """Write all of it; False if that failed. May block for ever: the thread's own part."""
        left = memoryview(b"\n" + data if self._torn else data)
        while left:
            try:
                written = os.write(self._descriptor or 0, left)
            except BlockingIOError:  # a non-blocking terminal or pipe is full
                poll = select.poll()
                poll.register(self._descriptor or 0, select.POLLOUT)
                poll.poll(_FULL_PAUSE)
            except OSError:  # nobody will read it any more, the disk is full, it was closed
                return False
            else:
                self._torn = left[written - 1] != _NEWLINE
                left = left[written:]
        return True


_NEWLINE: Final = ord("\n")


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # not a file of the system's, or closed
        return None
