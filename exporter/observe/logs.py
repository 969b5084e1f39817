"""Exceptions in one line: type, message and place, and never a local variable.

A traceback with locals prints credentials (structlog's ``dict_tracebacks`` does), and so does
the ``repr`` of aiohttp's errors (the Authorization header).

Log lines: logfmt, JSON or a console's colours, to one stream, without a secret.

Keys as Prometheus' own programs write them: ``ts`` (RFC 3339, UTC, milliseconds), ``level``,
``msg``, then snake_case fields. structlog renders; the standard library's loggers (aiohttp's,
asyncio's) go the same way. structlog is imported when logging is set up and not before, because
``--version`` needs none of it.

Nothing waits for a log. A pipe that nobody reads, a disk that stalls and a terminal that is stopped
block whoever writes to them, so lines go into a bounded queue and a daemon thread writes them.

Events become log lines: edges only, so that a vendor's bad night is two lines, not 600.
"""

import logging
import os
import select
import sys
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, TextIO, TypeAlias, TypeVar, assert_never, cast

from exporter.kernel.calendar import format_duration, format_rfc3339
from exporter.kernel.override import override
from exporter.kernel.secrets import Redactor, printable
from exporter.model.events import (
    ClockMoved,
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerNote,
    LedgerTrouble,
    PollCrashed,
    PollFinished,
    ProcessResumed,
    RunnerMended,
    SchemaNote,
    SeriesDropped,
    TargetBack,
    TargetDown,
    ValuesExpired,
    WaitCut,
)
from exporter.model.outcome import Failure, Poll, Unchanged

_FRAMES: Final = 3
_PARTS: Final = 3  # of a file's path: exporter/web/server.py
_DEPTH: Final = 3


def describe(error: BaseException, *, depth: int = _DEPTH) -> str:
    """Return ``TypeError: message``, with what it came from and what a group holds."""
    text = f"{type(error).__name__}: {printable(error)}".removesuffix(": ")
    if depth and isinstance(error, BaseExceptionGroup):
        inner = "; ".join(describe(one, depth=depth - 1) for one in error.exceptions[:_FRAMES])
        text = f"{text}: {inner}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if depth and cause is not None:
        return f"{text} (from {describe(cause, depth=depth - 1)})"
    return text


def place(error: BaseException) -> str:
    """Return the last frames, the innermost first: ``exporter/web/a.py:12 f < …/b.py:3 g``."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " < ".join(
        f"{short_path(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )


def short_path(path: str) -> str:
    """Return the last three parts of a file's path."""
    return "/".join(path.split("/")[-_PARTS:])


LEVELS: Final = ("debug", "info", "warn", "error")
"""The words of ``--log.level``, of the ``level`` key and of the metric's label."""
_MOST_WAITING: Final = 4 * 1024 * 1024
"""Bytes of lines that wait to be written; what comes beyond them is dropped and counted."""
_LINE_COST: Final = 128  # bytes that a waiting line takes beside its text
_AT_ONCE: Final = 4096  # bytes: up to PIPE_BUF a write is not mixed with those of other processes
_FULL_PAUSE: Final = 1000  # milliseconds between two looks at a full non-blocking descriptor
_LAST_FLUSH: Final = 1.0  # seconds that the end of the process may wait for its log
_NUMBERS: Final = {"debug": 10, "info": 20, "warn": 30, "error": 40}
_SPELLED: Final = {"warning": "warn", "critical": "error", "fatal": "error", "exception": "error"}
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

    `level` is one of `LEVELS`; `wall` gives epoch seconds; `counted` is told the level of each
    line. A second call replaces the first.
    """
    import structlog  # noqa: PLC0415 - 10 ms that --version and check need not pay

    render = _renderer(form, colors=output.is_terminal)
    shared: list[_Processor] = [
        _level(counted),
        _time(wall),
        _exception,
        _in_order,
        _redaction(redactor),
    ]

    def dropped_line(count: int) -> str:
        fields: Any = {"event": "log lines were dropped: the log was not read", "count": count}
        for process in (*shared, render):
            fields = process(None, "warning", fields)
        return str(fields)

    output.say_dropped_with(dropped_line)
    _catch_standard_library(level, output, [*shared, render])
    log = structlog.wrap_logger(
        output,
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        cache_logger_on_first_use=True,
    )
    return cast(Log, log)


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


class _Line(NamedTuple):
    """A line that waits; `told_of` is how many dropped ones it tells of, 0 for all other lines."""

    data: bytes
    told_of: int = 0


class Output:
    """Takes finished lines and never waits: a thread writes them to the stream's descriptor.

    At most 4 MiB of lines wait; further ones are dropped. `dropped` is told how many were, and as
    soon as lines are written again, one line says it. The order of lines is kept. A stream without
    a descriptor (a StringIO) is written to at once; without a stream (None: the process was started
    with stderr closed) every line is dropped.
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
        self._unsaid = 0  # dropped lines that no line has told of yet
        self._writing = False
        self._failing = False  # the last write failed, so the next line is the next try
        self._torn = False  # the last line was written in part
        self._closed = False
        self._thread: threading.Thread | None = None
        self.is_terminal = stream is not None and stream.isatty()
        self.is_of_process = self._descriptor is not None

    def say_dropped_with(self, dropped_line: Callable[[int], str]) -> None:
        """Set what makes the line that tells of so many dropped ones."""
        self._dropped_line = dropped_line

    def line(self, text: str) -> None:
        """Write a line, or drop it."""
        if self._descriptor is None:
            self._write_at_once(text)
            return
        data = self._encoded(text)
        with self._changed:
            if self._closed or self._size + len(data) + _LINE_COST > _MOST_WAITING:
                self._unsaid += 1
                self._dropped(1)
                return
            if self._unsaid and self._size < _MOST_WAITING // 2:
                self._put(self._account())
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
        return not (self._waiting or self._writing or (self._unsaid and not self._failing))

    def _write_at_once(self, text: str) -> None:
        if self._stream is None:
            self._dropped(1)
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed stream stops nobody's work
            self._dropped(1)

    def _encoded(self, text: str) -> bytes:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return f"{text}\n".encode(encoding, "backslashreplace")

    def _put(self, line: _Line) -> None:
        self._waiting.append(line)
        self._size += len(line.data) + _LINE_COST

    def _account(self) -> _Line:
        """Return the line that tells of the dropped ones."""
        count, self._unsaid = self._unsaid, 0
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
                    own = sum(not line.told_of for line in lines)
                    self._unsaid += own + sum(line.told_of for line in lines)
                    self._dropped(own)
                self._changed.notify_all()

    def _take(self) -> list[_Line]:
        """Return the next lines to be written together; to be called under the lock."""
        if not self._waiting:
            return [self._account()]
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
                self._await_room()
            except OSError:  # nobody will read it any more, the disk is full, it was closed
                return False
            else:
                self._torn = left[written - 1] != _NEWLINE
                left = left[written:]
        return True

    def _await_room(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor or 0, select.POLLOUT)
        poll.poll(_FULL_PAUSE)


_NEWLINE: Final = ord("\n")


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # not a file of the system's, or closed
        return None


class _Handler(logging.Handler):
    """Brings the standard library's records to the same lines."""

    def __init__(self, out: Output, formatter: logging.Formatter) -> None:
        super().__init__()
        self._out = out
        self.setFormatter(formatter)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._out.line(self.format(record))
        except Exception as error:  # noqa: BLE001 - a bad record must not break who logs it
            self._out.line(f"level=error msg=unwritable_log_record err={type(error).__name__}")


def _catch_standard_library(level: str, out: Output, processors: list[_Processor]) -> None:
    from structlog.stdlib import ProcessorFormatter  # noqa: PLC0415 - as in set_up

    formatter = ProcessorFormatter(foreign_pre_chain=[_origin], processors=processors)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(_Handler(out, formatter))
    root.setLevel(_NUMBERS[level])


def _renderer(form: Form, *, colors: bool) -> _Processor:
    import structlog  # noqa: PLC0415 - as in set_up

    match form:
        case Form.LOGFMT:
            return _flat(structlog.processors.LogfmtRenderer(bool_as_flag=False))
        case Form.JSON:
            return structlog.processors.JSONRenderer(ensure_ascii=False)
        case Form.CONSOLE:
            return structlog.dev.ConsoleRenderer(
                colors=colors, event_key="msg", timestamp_key="ts", sort_keys=False
            )
        case _:
            assert_never(form)


def _flat(render: _Processor) -> _Processor:
    # logfmt has no lists: a,b and not ['a', 'b'].
    def processor(logger: object, method: str, fields: _Fields) -> Any:
        flat = {
            key: ",".join(map(str, value)) if isinstance(value, list) else value
            for key, value in fields.items()
        }
        return render(logger, method, flat)

    return processor


def _level(counted: Callable[[str], None]) -> _Processor:
    def processor(logger: object, method: str, fields: _Fields) -> _Fields:
        level = _SPELLED.get(method, method)
        fields["level"] = level
        counted(level if level in LEVELS else "info")
        return fields

    return processor


def _time(wall: Callable[[], float]) -> _Processor:
    def processor(logger: object, method: str, fields: _Fields) -> _Fields:
        moment = datetime.fromtimestamp(wall(), UTC)
        fields["ts"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return fields

    return processor


def _origin(logger: object, method: str, fields: _Fields) -> _Fields:
    # Our own lines are found by their constant message; others' by where they come from.
    record: logging.LogRecord = fields["_record"]
    fields["logger"] = record.name
    fields["caller"] = f"{short_path(record.pathname)}:{record.lineno}"
    return fields


def _exception(logger: object, method: str, fields: _Fields) -> _Fields:
    fields.pop("stack_info", None)
    given = fields.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        fields["err"] = describe(error)
        fields["at"] = place(error)
    return fields


def _redaction(redactor: Redactor) -> _Processor:
    def processor(logger: object, method: str, fields: _Fields) -> _Fields:
        return {key: redactor.value(key, value) for key, value in fields.items()}

    return processor


def _in_order(logger: object, method: str, fields: _Fields) -> _Fields:
    first = {"ts": fields.pop("ts"), "level": fields.pop("level"), "msg": fields.pop("event", "")}
    return first | {key: value for key, value in fields.items() if not key.startswith("_")}


_HOUR: Final = 3600.0
_REMEMBERED: Final = 10_000
_PROBLEMS_SHOWN: Final = 50
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class EventLog:
    """Writes what an operator wants to know.

    `clock` gives seconds that never go back; `polls` says whether each poll gets its own line
    at debug (its fields cost more than the line that is not written).
    """

    def __init__(self, log: Log, *, clock: Callable[[], float], polls: bool) -> None:
        self._log = log
        self._clock = clock
        self._polls = polls
        self._drops: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()
        self._notes: OrderedDict[SchemaNote, None] = OrderedDict()
        self._ledger_ok = True

    def __call__(self, event: Event) -> None:  # noqa: C901 - one case an event, closed by assert_never
        """Write the line of `event`, if it is worth one."""
        match event:
            case PollFinished():
                if self._polls:
                    self._poll(event)
            case TargetDown():
                self._down(event)
            case TargetBack():
                self._back(event)
            case ValuesExpired():
                self._expired(event)
            case SeriesDropped():
                self._dropped(event)
            case SchemaNote():
                self._note(event)
            case WaitCut():
                self._cut(event)
            case PollCrashed():
                self._crashed(event)
            case RunnerMended():
                self._mended(event)
            case ConfigLoaded():
                self._loaded(event)
            case ConfigRejected():
                self._rejected(event)
            case LedgerTrouble():
                self._ledger(event)
            case LedgerNote():
                self._log.warning("state file", detail=event.detail)
            case ClockMoved():
                self._clock_moved(event)
            case ProcessResumed():
                self._log.warning(
                    "the process was suspended: polls that came due meanwhile are made now",
                    seconds=round(event.seconds),
                )
            case _:
                assert_never(event)

    def _poll(self, event: PollFinished) -> None:
        poll = event.poll
        statuses = [exchange.status for exchange in poll.exchanges]
        self._log.debug(
            "poll finished",
            provider=poll.provider,
            account=poll.target,
            collector=poll.collector,
            outcome=_outcome(poll),
            duration=format_duration(poll.seconds),
            requests=len(statuses),
            status=statuses[-1] if statuses else None,
            bytes=sum(exchange.size for exchange in poll.exchanges),
            failures=event.failures,
            next_poll=format_rfc3339(round(event.next_poll)),
            lateness=format_duration(max(event.lateness, 0.0)),
        )

    def _down(self, event: TargetDown) -> None:
        self._log.warning(
            "target is down",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            health=event.reason.health.value,
            reason=event.reason.value,
            detail=event.detail,
            next_poll=format_rfc3339(round(event.next_poll)),
        )

    def _back(self, event: TargetBack) -> None:
        self._log.info(
            "target is back",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            failures=event.failures,
            down_for=format_duration(round(max(event.down_for, 0.0))),
        )

    def _expired(self, event: ValuesExpired) -> None:
        self._log.warning(
            "values are no longer published",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            cause=event.cause,
        )

    def _dropped(self, event: SeriesDropped) -> None:
        key = (event.provider, event.target, event.reason)
        now = self._clock()
        said, since = self._drops.pop(key, (-_HOUR, 0))
        count = since + event.count
        if now - said < _HOUR:
            _remember(self._drops, key, (said, count))
            return
        _remember(self._drops, key, (now, 0))
        self._log.warning(
            "series were left out",
            provider=event.provider,
            account=event.target,
            reason=event.reason,
            count=count,
        )

    def _note(self, event: SchemaNote) -> None:
        if event in self._notes:
            return
        _remember(self._notes, event, None)
        self._log.warning(
            "the vendor's answer has changed",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            reason=event.reason,
            detail=event.detail,
        )

    def _cut(self, event: WaitCut) -> None:
        self._log.warning(
            "the vendor asked for a longer wait than max_wait",
            provider=event.provider,
            account=event.target,
            asked=format_duration(event.asked),
            applied=format_duration(event.applied),
        )

    def _crashed(self, event: PollCrashed) -> None:
        self._log.error(
            "a poll crashed: this is a bug of the exporter",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            err=event.error,
        )

    def _mended(self, event: RunnerMended) -> None:
        self._log.error(
            "the poll loop was set going again: this is a bug of the exporter",
            err=event.error,
            times=event.times,
        )

    def _loaded(self, event: ConfigLoaded) -> None:
        self._log.info(
            "configuration loaded",
            targets=event.targets,
            added=event.added,
            removed=event.removed,
            changed=event.changed,
        )

    def _rejected(self, event: ConfigRejected) -> None:
        self._log.error(
            "configuration rejected, the old one stays in force", problems=len(event.problems)
        )
        for problem in event.problems[:_PROBLEMS_SHOWN]:
            self._log.error("configuration problem", problem=problem)

    def _ledger(self, event: LedgerTrouble) -> None:
        if event.ok == self._ledger_ok:
            return
        self._ledger_ok = event.ok
        if event.ok:
            self._log.info("state is kept again", detail=event.detail)
        else:
            self._log.error("state cannot be kept, polling goes on", detail=event.detail)

    def _clock_moved(self, event: ClockMoved) -> None:
        self._log.warning(
            "the clock of this machine was set: waits go on as they were",
            seconds=round(event.by, 1),
        )


def _outcome(poll: Poll) -> str:
    match poll.outcome:
        case Failure() as failure:
            return failure.reason.value
        case Unchanged():
            return "unchanged"
        case _:
            return "ok"


def _remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
