"""From options to an exit code, around the event loop."""

import argparse
import asyncio
import sys

import pytest

from exporter.cli.daemon import in_loop, options_of
from exporter.cli.options import add_log, add_web


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_web(parser)
    add_log(parser)
    return parser.parse_args(words)


def test_options_have_the_exporters_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USAGE_EXPORTER_REVISION", raising=False)
    options = options_of(parsed())
    assert options.listen == (":10187",)
    assert options.telemetry_path == "/metrics"
    assert (options.lifecycle, options.exporter_metrics, options.auto_reload) == (
        False,
        True,
        False,
    )
    assert (options.log_level, options.log_format, options.revision) == ("info", "logfmt", "")


def test_options_are_taken_as_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USAGE_EXPORTER_REVISION", "abc")
    options = options_of(
        parsed(
            "--web.listen-address=:1",
            "--web.listen-address=[::1]:2",
            "--web.telemetry-path=/m",
            "--web.enable-lifecycle",
            "--web.disable-exporter-metrics",
            "--log.level=debug",
            "--log.format=json",
        )
    )
    assert options.listen == (":1", "[::1]:2")
    assert options.telemetry_path == "/m"
    assert (options.lifecycle, options.exporter_metrics) == (True, False)
    assert (options.log_level, options.log_format, options.revision) == ("debug", "json", "abc")


@pytest.mark.parametrize(
    ("targets", "missing", "loop"),
    [(100, "", "uvloop"), (100, "uvloop", "asyncio"), (99, "", "asyncio")],
)
def test_many_targets_run_with_uvloop_where_it_is(
    targets: int, missing: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[str] = []

    async def main() -> None:
        loops.extend(kind.__module__ for kind in type(asyncio.get_running_loop()).__mro__)

    if missing:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    assert in_loop(main, targets) == 0
    assert any(module.startswith(loop) for module in loops)
    assert loop == "uvloop" or not any(module.startswith("uvloop") for module in loops)


def test_a_file_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        raise FileNotFoundError(2, "No such file or directory", "cert.pem")

    assert in_loop(main) == 1
    assert capsys.readouterr().err == "--web.config.file: cert.pem: No such file or directory\n"


def test_trouble_without_a_file_is_told_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        raise OSError("tls_server_config: cannot use cert.pem with key.pem: not pem.")

    assert in_loop(main) == 1
    told = "--web.config.file: tls_server_config: cannot use cert.pem with key.pem: not pem.\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("words", "prefix", "url"),
    [
        ([], "", ""),
        (["--web.route-prefix=/"], "", ""),
        (["--web.route-prefix=usage"], "/usage", ""),
        (["--web.route-prefix=/usage/"], "/usage", ""),
        (["--web.external-url=https://x.example"], "", "https://x.example"),
        (["--web.external-url=https://x.example/a/b/"], "/a/b", "https://x.example/a/b"),
        (["--web.external-url=http://x:1/a", "--web.route-prefix=/"], "", "http://x:1/a"),
        (["--web.external-url=http://x/a", "--web.route-prefix=/b"], "/b", "http://x/a"),
    ],
)
def test_the_prefix_is_the_path_of_the_external_url_or_its_own(
    words: list[str], prefix: str, url: str
) -> None:
    options = options_of(parsed(*words))
    assert (options.route_prefix, options.external_url) == (prefix, url)


@pytest.mark.parametrize(
    "word",
    [
        "--web.external-url=x.example/usage",
        "--web.external-url=ftp://x.example",
        "--web.external-url=http://user:secret@x.example",
        "--web.external-url=http://x.example/?a",
        "--web.external-url=http://x.example/a b",
        "--web.external-url=http://[::1",
        "--web.external-url=http://x:99999",
        '--web.route-prefix=/"',
        "--web.max-connections=0",
        "--web.max-connections=-1",
        "--web.max-connections=many",
    ],
)
def test_what_is_no_address_or_number_is_refused_without_its_secret(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(word)
    said = capsys.readouterr().err
    assert word.partition("=")[0] in said
    assert "secret" not in said


def test_connections_are_bounded_by_default_and_by_the_flag() -> None:
    assert options_of(parsed()).most_connections == 512
    assert options_of(parsed("--web.max-connections=9")).most_connections == 9
