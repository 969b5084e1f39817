import re
from pathlib import Path

import yaml

from exporter.web import webconfig
from exporter.web.webconfig import HttpServerConfig, RateLimit, TlsServerConfig, WebConfig

PAGE = Path(__file__).resolve().parents[3] / "docs" / "web-config.md"
(EXAMPLE,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_example_of_the_page_is_accepted_and_shows_every_key(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(EXAMPLE)
    config = webconfig.read_web_config(str(path))
    shown = yaml.safe_load(EXAMPLE)
    assert set(shown) == set(WebConfig.__struct_fields__)
    assert set(shown["tls_server_config"]) == set(TlsServerConfig.__struct_fields__)
    assert set(shown["http_server_config"]) == set(HttpServerConfig.__struct_fields__)
    assert set(shown["rate_limit"]) == set(RateLimit.__struct_fields__)
    assert set(config.http_server_config.headers) == set(webconfig.HEADERS)


def test_the_page_names_every_choice() -> None:
    for word in (*webconfig.CLIENT_AUTH, *webconfig.VERSIONS, *webconfig.CURVES):
        assert word in PAGE.read_text()
