"""Log lines: logfmt, JSON or a console's colours, to one stream, without a secret.

Keys as Prometheus' own programs write them: ``ts`` (RFC 3339, UTC, milliseconds), ``level``,
``msg``, then snake_case fields. structlog renders; the standard library's loggers (aiohttp's,
asyncio's) go the same way. structlog is imported when logging is set up and not before, because
``--version`` needs none of it.
"""

import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol, TextIO, TypeAlias, assert_never, cast

from exporter.kernel.override import override
from exporter.kernel.secrets import Redactor
from exporter.observe import faults

LEVELS: Final = ("debug", "info", "warn", "error")
"""The words of ``--log.level``, of the ``level`` key and of the metric's label."""

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
    stream: TextIO,
    wall: Callable[[], float],
    redactor: Redactor,
    counted: Callable[[str], None],
) -> Log:
    """Send all logging of the process to `stream`; return the exporter's own log.

    `level` is one of `LEVELS`; `wall` gives epoch seconds; `counted` is told the level of each
    line that is written. A second call replaces the first.
    """
    import structlog  # noqa: PLC0415 - 10 ms that --version and check need not pay

    render = _renderer(form, stream)
    shared: list[_Processor] = [
        _level(counted),
        _time(wall),
        _exception,
        _in_order,
        _redaction(redactor),
    ]
    out = _Lines(stream)
    _catch_standard_library(level, out, [*shared, render])
    log = structlog.wrap_logger(
        out,
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        cache_logger_on_first_use=True,
    )
    return cast(Log, log)


class _Lines:
    """Writes finished lines; a stream that is gone (a closed pipe) stops nobody's work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a broken pipe, a closed file
            return

    debug = info = warning = error = critical = line


class _Handler(logging.Handler):
    """Brings the standard library's records to the same lines."""

    def __init__(self, out: _Lines, formatter: logging.Formatter) -> None:
        super().__init__()
        self._out = out
        self.setFormatter(formatter)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._out.line(self.format(record))
        except Exception as error:  # noqa: BLE001 - a bad record must not break who logs it
            self._out.line(f"level=error msg=unwritable_log_record err={type(error).__name__}")


def _catch_standard_library(level: str, out: _Lines, processors: list[_Processor]) -> None:
    from structlog.stdlib import ProcessorFormatter  # noqa: PLC0415 - as in set_up

    formatter = ProcessorFormatter(foreign_pre_chain=[_origin], processors=processors)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(_Handler(out, formatter))
    root.setLevel(_NUMBERS[level])


def _renderer(form: Form, stream: TextIO) -> _Processor:
    import structlog  # noqa: PLC0415 - as in set_up

    match form:
        case Form.LOGFMT:
            return _flat(structlog.processors.LogfmtRenderer(bool_as_flag=False))
        case Form.JSON:
            return structlog.processors.JSONRenderer(ensure_ascii=False)
        case Form.CONSOLE:
            return structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), event_key="msg", timestamp_key="ts", sort_keys=False
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
    fields["caller"] = f"{faults.short_path(record.pathname)}:{record.lineno}"
    return fields


def _exception(logger: object, method: str, fields: _Fields) -> _Fields:
    fields.pop("stack_info", None)
    given = fields.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        fields["err"] = faults.describe(error)
        fields["at"] = faults.place(error)
    return fields


def _redaction(redactor: Redactor) -> _Processor:
    def processor(logger: object, method: str, fields: _Fields) -> _Fields:
        return {key: redactor.value(key, value) for key, value in fields.items()}

    return processor


def _in_order(logger: object, method: str, fields: _Fields) -> _Fields:
    first = {"ts": fields.pop("ts"), "level": fields.pop("level"), "msg": fields.pop("event", "")}
    return first | {key: value for key, value in fields.items() if not key.startswith("_")}
