"""Bad files with every message they must bring, good ones with what they must mean.

`tests/config/bad/NAME.yaml` stands beside `NAME.txt`, the exact messages. A file whose name begins
with `definition_` is a definition, all others are configurations.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.config.library import compile_text, load_definition
from exporter.config.plan import load_plan, load_text
from exporter.kernel.calendar import format_duration
from exporter.kernel.problems import Problem
from exporter.model.target import AT_ONCE, Plan, Rejected, Target

GALLERIES = Path(__file__).parents[2] / "config"
BAD = sorted(GALLERIES.glob("bad/*.yaml"))
GOOD = sorted(GALLERIES.glob("good/*.yaml"))
ENVIRONMENT = {"BILLING_TOKEN": "s3cr3t", "HTTPS_PROXY": "http://proxy.example.com:3128"}


def load(path: Path) -> Plan | Rejected:
    if not path.name.startswith("definition_"):
        return load_plan(str(path), environ=ENVIRONMENT)
    definition = load_definition(str(path))
    assert isinstance(definition, Rejected), "this definition was accepted"
    return definition


def told(problems: tuple[Problem, ...], path: Path) -> str:
    lines = (f"{'warning: ' * (one.severity == 'warning')}{one}\n" for one in problems)
    return "".join(lines).replace(f"{path.parent}/", "").replace(str(path.parent), ".")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_brings_exactly_these_messages(path: Path) -> None:
    rejected = load(path)
    assert isinstance(rejected, Rejected), "this file was accepted"
    assert told(rejected.problems, path) == path.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_no_message_holds_a_secret(path: Path) -> None:
    """Put a token in the place of some words of the file, one after the other."""
    token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"  # noqa: S105 - made up
    text = path.read_bytes().decode("utf-8", "replace")
    words = list(re.finditer(r"[A-Za-z][A-Za-z0-9_]{3,}", text)) or list(re.finditer("^", text))
    for word in words[:: len(words) // 10 + 1]:
        spoiled = f"{text[: word.start()]}{token}{text[word.end() :]}"
        if path.name.startswith("definition_"):
            found: object = compile_text(spoiled, name=path.stem)
        else:
            directory = str(path.parent)
            found = load_text(spoiled, name="x.yaml", directory=directory, environ=ENVIRONMENT)
        if isinstance(found, Rejected):
            assert token[:12] not in told(found.problems, path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_message_says_where_and_ends_like_a_sentence(path: Path) -> None:
    rejected = load(path)
    assert isinstance(rejected, Rejected)
    for problem in rejected.problems:
        assert problem.position.file
        assert problem.what.endswith((".", "?", "…"))


def test_every_expectation_has_its_file() -> None:
    texts = {path.with_suffix("") for path in GALLERIES.glob("*/*.txt")}
    assert texts == {path.with_suffix("") for path in [*BAD, *GOOD]}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_means_exactly_this(path: Path) -> None:
    plan = load(path)
    assert isinstance(plan, Plan), told(plan.problems, path)
    meant = "".join(f"{line}\n" for line in in_words(plan))
    meant = told(plan.warnings, path) + meant.replace(f"{path.parent}/", "")
    assert meant == path.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_redacted_text_of_a_good_file_holds_no_secret(path: Path) -> None:
    plan = load(path)
    assert isinstance(plan, Plan)
    assert "s3cr3t" not in plan.text


def in_words(plan: Plan) -> Iterator[str]:
    """Tell what a plan holds, without the definitions."""
    if plan.state_file or plan.redis_url:
        yield f"state: {plan.state_file}{plan.redis_url}"
    if plan.concurrency != AT_ONCE:
        yield f"concurrency: {plan.concurrency.polls}, per host {plan.concurrency.per_host}"
    yield f"sources: {', '.join(Path(one.path).name for one in plan.sources if not one.pattern)}"
    for target in plan.targets.values():
        yield f"{target.name}: {target.provider} at {target.base_url}"
        for name, text in facts(target).items():
            yield f"  {name}: {text}"


def facts(target: Target) -> dict[str, str]:
    collectors = (
        f"{name} every {format_duration(interval)}, stale after "
        f"{format_duration(target.stale_after[name])}"
        for name, interval in target.collectors.items()
    )
    told = {
        "auth": f"{type(target.auth).__name__} with {', '.join(sorted(target.auth.needs)) or '-'}",
        "credentials": in_pairs(target.credentials),
        "budget": re.sub(" [0-9a-f]{16}$", " (digest)", target.budget),
        "params": in_pairs({name: ",".join(values) for name, values in target.params.items()}),
        "collectors": "; ".join(collectors),
        "timeout": format_duration(target.poll_timeout),
        "limits": in_pairs(
            {
                name: f"{limit.value:.15g} {limit.currency or limit.kind or 'of its own unit'}"
                for name, limit in target.limits.items()
            }
        ),
        "labels": in_pairs(target.labels),
        "accounts": ",".join(target.accounts),
        "items": str(target.items) * target.items,
        "adaptive": str(target.adaptive) * target.adaptive,
        "max_series": str(target.max_series) * (target.max_series != 1000),
        "reserve": str(target.reserve) * (target.reserve != 0.2),
        "user_agent": target.user_agent * (not target.user_agent.startswith("usage-exporter/0")),
        "proxy": target.http.proxy_url,
        "headers": in_pairs(target.http.headers),
        "ca_file": target.http.tls.ca_file,
        "cert_file": target.http.tls.cert_file,
        "key_file": target.http.tls.key_file,
        "server_name": target.http.tls.server_name,
        "insecure": "yes" * target.http.tls.insecure_skip_verify,
    }
    return {name: text for name, text in told.items() if text}


def in_pairs(mapping: object) -> str:
    assert isinstance(mapping, dict)
    return ", ".join(f"{key}={value}" for key, value in mapping.items())
