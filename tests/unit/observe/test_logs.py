import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from exporter.kernel.override import override
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import Secret
from exporter.observe.logs import Form, Log, Output, set_up

CANARY = "canary-5f1e"
NOON = 1_795_348_800.1239  # 2026-11-22T12:00:00Z


class Lines(io.StringIO):
    """What was written, line by line, and the levels that were counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[str] = []

    def all(self) -> list[str]:
        return self.getvalue().splitlines()

    def last(self) -> str:
        return self.all()[-1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield Lines()
    root.handlers[:] = before
    root.setLevel(level)


def start(lines: Lines, *, form: Form = Form.LOGFMT, level: str = "info") -> Log:
    for pytests in logging.getLogger().handlers[:]:
        if pytests.__module__ == "_pytest.logging":
            logging.getLogger().removeHandler(pytests)  # it raises where ours must not
    redactor = Redactor()
    redactor.learn(Secret(CANARY))
    return set_up(
        level=level,
        form=form,
        output=Output(lines),
        wall=lambda: NOON,
        redactor=redactor,
        counted=lines.counted.append,
    )


def test_a_line_is_logfmt_with_time_level_and_message_first(lines: Lines) -> None:
    start(lines).warning("target is down", account="video prod", failures=3, ok=False)
    assert lines.last() == (
        'ts=2026-11-22T12:00:00.123Z level=warn msg="target is down"'
        ' account="video prod" failures=3 ok=false'
    )


def test_a_list_is_written_with_commas_in_logfmt(lines: Lines) -> None:
    start(lines).info("listening", addresses=["127.0.0.1:10187", "[::1]:10187"])
    assert lines.last().endswith("addresses=127.0.0.1:10187,[::1]:10187")


def test_a_line_is_json_on_demand(lines: Lines) -> None:
    start(lines, form=Form.JSON).info("é", count=3)
    assert "é" in lines.last()
    assert json.loads(lines.last()) == {
        "ts": "2026-11-22T12:00:00.123Z",
        "level": "info",
        "msg": "é",
        "count": 3,
    }


def test_a_line_is_readable_on_a_console(lines: Lines) -> None:
    start(lines, form=Form.CONSOLE).info("hello", count=3)
    assert "hello" in lines.last()
    assert "count=3" in lines.last()
    assert "\x1b" not in lines.last()


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written_and_all_others_counted(
    lines: Lines, level: str, written: list[str]
) -> None:
    log = start(lines, level=level)
    log.debug("a")
    log.info("a")
    log.warning("a")
    log.error("a")
    assert lines.counted == written
    assert [line.split()[1] for line in lines.all()] == [f"level={word}" for word in written]


def test_the_standard_librarys_loggers_write_the_same_lines(lines: Lines) -> None:
    start(lines)
    logging.getLogger("aiohttp.server").error("Error %s", "here")
    logging.getLogger("aiohttp.server").critical("worse")
    logging.getLogger("aiohttp.server").debug("not this")
    assert lines.all()[0].startswith(
        'ts=2026-11-22T12:00:00.123Z level=error msg="Error here" logger=aiohttp.server'
        " caller=unit/observe/test_logs.py:"
    )
    assert lines.counted == ["error", "error"]


@pytest.mark.parametrize("form", list(Form))
def test_an_exception_is_a_line_without_locals_and_secrets(lines: Lines, form: Form) -> None:
    start(lines, form=form)
    hidden = "a local variable"
    try:
        refuse(hidden)
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed")
    assert "ValueError" in lines.last()
    assert "test_logs.py" in lines.last()
    for leak in (CANARY, "abcdef", hidden, "Traceback"):
        assert leak not in lines.getvalue()


def refuse(hidden: str) -> None:
    raise ValueError(f"refused: {CANARY} at https://a.example/?token=abcdef", len(hidden))


def test_our_own_exceptions_are_written_the_same_way(lines: Lines) -> None:
    log = start(lines)
    log.error("given", exc_info=KeyError("k"))
    assert "err=\"KeyError: 'k'\"" in lines.last()
    try:
        refuse("")
    except ValueError:
        log.error("current", exc_info=True)  # noqa: G201 - what is tried here
    assert "err=\"ValueError: ('refused" in lines.last()
    log.error("none", exc_info=False, stack_info=True)
    assert lines.last().endswith("msg=none")


def test_no_field_and_no_message_leaks_a_secret(lines: Lines) -> None:
    log = start(lines)
    log.info(CANARY, detail=f"x {CANARY}", token="other", nested={"cookie": "other"})  # noqa: S106 - a canary
    logging.getLogger("x").warning("stdlib %s", CANARY)
    for leak in (CANARY, "other"):
        assert leak not in lines.getvalue()


def test_a_forged_line_stays_inside_its_own(lines: Lines) -> None:
    start(lines).info("seen", detail='x"\nts=2026 level=error msg=forged')
    assert len(lines.all()) == 1


def test_a_stream_that_is_gone_stops_nobody(lines: Lines) -> None:
    class Gone(Lines):
        @override
        def write(self, text: str, /) -> int:
            raise BrokenPipeError(text)

    log = start(Gone())
    log.info("into the void")
    logging.getLogger("x").error("into the void")


def test_a_record_that_cannot_be_formatted_breaks_nobody(lines: Lines) -> None:
    start(lines)
    logging.getLogger("x").error("%d", "no number")
    assert lines.last() == "level=error msg=unwritable_log_record err=TypeError"


def test_a_second_set_up_replaces_the_first(lines: Lines) -> None:
    first = Lines()
    start(first)
    start(lines)
    logging.getLogger("x").error("once")
    assert (len(first.all()), len(lines.all())) == (0, 1)


def test_handlers_of_others_stay(lines: Lines) -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    start(lines)
    assert other in logging.getLogger().handlers


def test_structlog_is_imported_only_when_logging_starts() -> None:
    code = "import sys, exporter.observe.logs; print('structlog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert done.stdout == "False\n"
