"""Plans: budgets, differences, what stays secret, what a load leaves behind."""

import gc
from pathlib import Path

import pytest
import yaml

from exporter.config.plan import diff_plans, load_plan, load_text
from exporter.model.target import Plan, PlanDiff, Rejected, Target


def plan(text: str, directory: Path | str = "/nowhere", **environ: str) -> Plan:
    found = load_text(text, name="config.yaml", directory=str(directory), environ=environ)
    assert isinstance(found, Plan), "\n".join(map(str, found.problems))
    return found


def problems(text: str, **environ: str) -> list[str]:
    found = load_text(text, name="config.yaml", directory="/nowhere", environ=environ)
    assert isinstance(found, Rejected)
    return [str(problem) for problem in found.problems]


def video(name: str, token: str = "a", **more: str) -> str:  # noqa: S107 - a secret of a test
    rest = "".join(f", {key}: {value}" for key, value in more.items())
    return (
        f"  - {{name: {name}, provider: tpstreams, credentials: {{token: {token}}}, "
        f"params: {{organization_id: {name}}}{rest}}}\n"
    )


def saas(name: str, url: str, token: str = "a") -> str:  # noqa: S107 - a secret of a test
    return (
        f"  - {{name: {name}, provider: billing_usage, base_url: '{url}', "
        f"credentials: {{token: {token}}}}}\n"
    )


def budgets(text: str) -> dict[str, str]:
    return {name: target.budget for name, target in plan(text).targets.items()}


def test_targets_of_one_host_and_credential_share_a_budget() -> None:
    found = budgets("targets:\n" + video("a") + video("b") + video("c", "other"))
    assert found["a"] == found["b"] != found["c"]


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://api.example.com/", True),
        ("https://api.example.com:443", True),
        ("https://API.example.com/v2", True),
        ("https://api.example.com:8443", False),
        ("http://api.example.com", False),
        ("https://other.example.com", False),
    ],
)
def test_a_budget_goes_by_scheme_host_and_port(url: str, same: bool) -> None:  # noqa: FBT001 - a column
    found = budgets("targets:\n" + saas("a", "https://api.example.com") + saas("b", url))
    assert (found["a"] == found["b"]) is same


def test_a_secret_means_the_same_wherever_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a\n")
    text = "targets:\n" + "".join(
        f"  - {{name: {key}, provider: tpstreams, credentials: {{{key}: {value}}}, "
        "params: {organization_id: x}}\n"
        for key, value in (("token", "a"), ("token_file", "token"), ("token_env", "KEY"))
    )
    targets = plan(text, tmp_path, KEY="a").targets
    assert len({target.budget for target in targets.values()}) == 1


def test_a_budget_holds_no_secret() -> None:
    assert "s3cr3t" not in str(budgets("targets:\n" + video("a", "s3cr3t")))


def test_a_targets_repr_holds_no_secret() -> None:
    targets = plan("targets:\n" + video("a", "s3cr3t")).targets
    assert "s3cr3t" not in repr(targets)


OLD = "targets:\n" + video("kept") + video("changed") + video("gone") + video("newkey")


def test_a_reload_tells_what_it_changes() -> None:
    new = "targets:\n" + video("changed", items="true") + video("kept") + video("came")
    new += video("newkey", "b")
    assert diff_plans(plan(OLD), plan(new)) == PlanDiff(
        added=("came",), removed=("gone",), changed=("changed", "newkey")
    )


def test_a_reload_of_the_same_changes_nothing() -> None:
    assert diff_plans(plan(OLD), plan(f"# a comment\n{OLD}")) == PlanDiff()
    same = OLD.replace("targets:", "global: {poll_interval: 15m}\ntargets:")
    assert diff_plans(plan(OLD), plan(same)) == PlanDiff()


def test_a_global_setting_changes_the_targets_that_follow_it() -> None:
    text = "global: {max_series: 5}\ntargets:\n" + video("a") + video("b", max_series="7")
    changed = diff_plans(plan(text), plan(text.replace("5", "6"))).changed
    assert changed == ("a",)


OWN = """\
title: Own
base_url: https://api.example.com
collectors: {usage: {request: {path: /usage}}}
resources: [{name: a, used: total}]
"""


def test_a_changed_definition_changes_its_targets_and_no_others(tmp_path: Path) -> None:
    text = "providers: {files: [own.yaml]}\ntargets:\n  - {name: a, provider: own}\n" + video("b")
    (tmp_path / "own.yaml").write_text(OWN)
    before = plan(text, tmp_path)
    assert diff_plans(before, plan(text, tmp_path)) == PlanDiff()
    (tmp_path / "own.yaml").write_text(OWN.replace("total", "sum"))
    assert diff_plans(before, plan(text, tmp_path)).changed == ("a",)


def test_targets_of_one_provider_share_its_definition() -> None:
    targets = list(plan("targets:\n" + video("a") + video("b")).targets.values())
    assert targets[0].definition is targets[1].definition


def test_the_sources_of_a_plan_are_its_files(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    path = tmp_path / "config.yaml"
    path.write_text("providers: {files: ['*own.yaml']}\ntargets:\n" + video("a"))
    found = load_plan(str(path), environ={})
    assert isinstance(found, Plan)
    assert [one.path for one in found.sources] == [
        str(path),
        str(tmp_path / "*own.yaml"),
        str(tmp_path / "own.yaml"),
    ]


def test_the_sources_of_a_rejected_configuration_are_all_files_that_were_looked_at(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "providers: {files: ['more/*.yaml', own.yaml]}\ntargets:\n"
        "  - {name: a, provider: deepl, credentials: {token: x},"
        " http: {tls_config: {ca_file: ca.pem}}}\n"
    )
    found = load_plan(str(path), environ={})
    assert isinstance(found, Rejected)
    assert {one.path for one in found.sources} == {
        str(path),
        str(tmp_path / "more/*.yaml"),
        str(tmp_path / "own.yaml"),
        str(tmp_path / "ca.pem"),
    }


def test_a_missing_secret_is_an_error_or_where_it_may_come_later_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "targets:\n"
        "  - {name: a, provider: deepl, credentials: {token_file: key}}\n"
        "  - {name: b, provider: deepl, credentials: {token_env: KEY}}\n"
        "  - {name: c, provider: deepl, credentials: {token: x}}\n"
    )
    strict = load_plan(str(path), environ={})
    assert isinstance(strict, Rejected)
    assert len(strict.problems) == 2
    found = load_plan(str(path), environ={}, secrets_required=False)
    assert isinstance(found, Plan)
    assert found.without_secret == {"a", "b"}
    assert [problem.severity for problem in found.warnings] == ["warning", "warning"]
    assert all("the polls of this target fail (auth)" in str(one) for one in found.warnings)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("k3y", ""),
        (" k3y ", ""),  # blanks are not sent
        ("'k3y'", "in quotes"),
        ('"k3y"\n', "in quotes"),
        ("\u201ck3y\u201d", "in quotes"),
        ("'", ""),
        ("'k3y", ""),
    ],
)
def test_a_secret_in_quotes_is_warned_of(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "key").write_text(content)
    path = tmp_path / "config.yaml"
    path.write_text("targets: [{name: a, provider: deepl, credentials: {token_file: key}}]\n")
    found = load_plan(str(path), environ={})
    assert isinstance(found, Plan)
    assert len(found.warnings) == bool(told)
    assert told in "".join(map(str, found.warnings))
    assert "k3y" not in "".join(map(str, found.warnings))


def test_a_secret_in_the_configuration_is_sent_with_its_blanks_and_that_is_warned_of(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("targets: [{name: a, provider: deepl, credentials: {token: 'tok '}}]\n")
    found = load_plan(str(path), environ={})
    assert isinstance(found, Plan)
    (warning,) = found.warnings
    assert "begins or ends with a blank" in str(warning)


def test_a_missing_configuration_is_a_problem_like_any_other(tmp_path: Path) -> None:
    found = load_plan(str(tmp_path / "config.yaml"), environ={})
    assert isinstance(found, Rejected)
    (problem,) = found.problems
    assert str(problem).endswith("config.yaml: The file does not exist. Is the path right?")


@pytest.mark.parametrize("was_on", [True, False])
def test_a_load_leaves_the_garbage_collector_as_it_was(was_on: bool) -> None:  # noqa: FBT001 - a column
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        plan("targets:\n" + video("a"))
        assert gc.isenabled() is was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_the_redacted_text_is_yaml_of_the_same_meaning() -> None:
    text = (
        "global: {user_agent: 'a: b #c', stale_after: '0'}\n"
        "targets:\n"
        "  - name: 'yes'\n"
        "    provider: billing_usage\n"
        "    base_url: http://127.0.0.1:8080\n"
        "    credentials: {token: s3cr3t}\n"
        "    params: {metrics: ['null', '012', a-b]}\n"
        "    limits: {api_calls: 1e3}\n"
        "    labels: {a: '- b', c: 'true', d: '', e: \"é: #\", f: '~'}\n"
    ).replace("a-b", "a_b")
    shown = yaml.safe_load(plan(text).text)
    meant = yaml.safe_load(text)
    meant["targets"][0]["credentials"] = {"token": "<secret>"}
    meant["targets"][0]["limits"]["api_calls"] = 1000.0
    assert shown == meant


def test_comments_do_not_survive_because_they_hold_old_secrets() -> None:
    assert "s3cr3t" not in plan("targets:\n" + video("a") + "# was s3cr3t\n").text


def only(text: str, **environ: str) -> Target:
    (target,) = plan(f"targets:\n{text}", **environ).targets.values()
    return target


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, ""),
        ({"https_proxy": "http://small"}, "http://small"),
        ({"HTTPS_PROXY": "http://large", "https_proxy": "http://small"}, "http://small"),
        ({"HTTP_PROXY": "http://other"}, ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost, tpstreams.com"}, ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".tpstreams.com"}, ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*.tpstreams.com:443"}, ""),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "*"}, ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "streams.com"}, "http://p"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "tpstreams.com:8443"}, "http://p"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost tpstreams.com."}, ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,127.0.0.1"}, "http://p"),
        ({"HTTPS_PROXY": "p:3128"}, "http://p:3128"),
        ({"HTTPS_PROXY": "  127.0.0.1:3128\n"}, "http://127.0.0.1:3128"),
        ({"HTTPS_PROXY": "me:s3cr3t@p:3128"}, "http://me:s3cr3t@p:3128"),
        ({"HTTPS_PROXY": "https://p:3128", "https_proxy": " "}, "https://p:3128"),
        ({"HTTPS_PROXY": "socks5://p", "NO_PROXY": "tpstreams.com"}, ""),
    ],
    ids=str,
)
def test_the_proxy_of_the_environment_is_curls(environ: dict[str, str], proxy: str) -> None:
    assert (
        only(video("a", http="{proxy_from_environment: true}"), **environ).http.proxy_url == proxy
    )
    assert only(video("a"), **environ).http.proxy_url == ""


@pytest.mark.parametrize(
    ("host", "excluded", "direct"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "192.168.0.0/16, 10.1.0.0/16", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.99/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:8443", False),
        ("10.1.2.3:8443", "10.1.2.3:8443", True),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "0.0.0.0/0", True),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::]/8", True),
        ("[fd00::1]", "0.0.0.0/0", False),
        ("[fd00::1]", "FD00:0::1", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]:444", "[fd00::1]:443", False),
        ("[::ffff:10.1.2.3]", "10.0.0.0/8", True),
        ("10.example", "10.0.0.0/8", False),
        ("api.example.com.", "example.com", True),
        ("münchen.example", "MÜNCHEN.example", True),
        ("münchen.example", "xn--mnchen-3ya.example", True),
        ("api.example.com", ".", False),
        ("api.example.com", ",, ,", False),
    ],
)
def test_no_proxy_takes_names_addresses_networks_and_ports(
    host: str, excluded: str, *, direct: bool
) -> None:
    text = saas("a", f"https://{host}").replace("}}", "}, http: {proxy_from_environment: true}}")
    target = only(text, HTTPS_PROXY="http://p", NO_PROXY=excluded)
    assert (target.http.proxy_url == "") is direct


def test_a_network_that_is_none_is_told_and_the_others_count() -> None:
    environ = {"HTTPS_PROXY": "http://p", "no_proxy": "10.0.0.0/99,tpstreams.com"}
    http = "{proxy_from_environment: true}"
    found = plan("targets:\n" + video("a", http=http) + video("b", "b", http=http), **environ)
    assert [target.http.proxy_url for target in found.targets.values()] == ["", ""]
    (warning,) = map(str, found.warnings)
    assert 'no_proxy in the environment: "10.0.0.0/99" is no network and is left out.' in warning


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("socks5://ops:s3cr3t@p:1080", "names a proxy of socks5, which is not supported"),
        ("SOCKS5H://p:1080", "names a proxy of SOCKS5H, which is not supported"),
        ("http://ops:s3cr3t@p:99999", "is not the address of an HTTP proxy"),
        ("http://[::1", "is not the address of an HTTP proxy"),
        ("ops:s3cr3t@", "is not the address of an HTTP proxy"),
        ("p:no-port", "is not the address of an HTTP proxy"),
        ("http://p..example", "is not the address of an HTTP proxy"),
    ],
)
def test_a_proxy_of_the_environment_that_cannot_be_used_is_told(proxy: str, says: str) -> None:
    text = "targets:\n" + video("a", http="{proxy_from_environment: true}")
    (problem,) = problems(text, HTTPS_PROXY=proxy)
    assert (
        f"targets[0].http.proxy_from_environment: HTTPS_PROXY in the environment {says}" in problem
    )
    assert "http://proxy.example.com:3128" in problem
    assert "s3cr3t" not in problem
    assert only(video("a"), HTTPS_PROXY=proxy).http.proxy_url == ""


@pytest.mark.parametrize("proxy", ["p:3128", "socks5://p", "http://[::1", "http://p:0"])
def test_a_proxy_of_the_file_that_cannot_be_used_is_told(proxy: str) -> None:
    text = "targets:\n" + video("a", http=f'{{proxy_url: "{proxy}"}}')
    (problem,) = problems(text)
    assert "targets[0].http.proxy_url: This is not the address of an HTTP proxy." in problem


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("a" * 64 + ".example", "its host is too long."),
        (".".join(["abcdefghi"] * 30), "its host is too long."),
        ("api..example", "its host has an empty part between two dots."),
        ("münchen..example", "its host has an empty part between two dots."),
    ],
)
def test_a_host_that_no_name_server_can_know_is_told(host: str, says: str) -> None:
    (problem,) = problems("targets:\n" + saas("a", f"https://{host}"))
    assert says in problem


def test_a_host_of_other_letters_is_written_as_name_servers_know_it() -> None:
    url = only(saas("a", "https://münchen.example:8443/v1")).base_url
    assert url == "https://xn--mnchen-3ya.example:8443/v1"


def test_the_most_specific_interval_wins() -> None:
    text = "global: {poll_interval: 40m}\ntargets:\n"
    text += video("a") + video("b", poll_interval="50m")
    text += video("c", poll_interval="50m", collectors="{usage: {poll_interval: 1h}}")
    intervals = [target.collectors["usage"] for target in plan(text).targets.values()]
    assert intervals == [2400.0, 3000.0, 3600.0]


def test_without_a_word_the_definition_says_how_often() -> None:
    target = only(video("a"))
    assert target.collectors == {"usage": 900.0}
    assert target.stale_after == {"usage": 3600.0}
    assert target.poll_timeout == 30.0


def test_a_default_timeout_never_exceeds_a_short_interval() -> None:
    target = only(
        "  - {name: a, provider: billing_usage, base_url: 'http://x', credentials: {token: t}, "
        "poll_interval: 10s}\n"
    )
    assert target.poll_timeout == 10.0


def test_a_broken_shipped_definition_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from exporter.config import library  # noqa: PLC0415 - its cache must not meet other tests

    monkeypatch.setattr(
        library, "shipped", lambda name: library.compiled("title: 5", name=name, shown="x.yaml")
    )
    found = problems("targets:\n" + video("a"))
    assert any('The shipped definition "tpstreams" is broken: x.yaml:1:8' in one for one in found)
