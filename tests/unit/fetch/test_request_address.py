"""A path that begins with a parameter may lead to another host of the vendor's."""

import pytest

from exporter.fetch.request import draft_request
from exporter.model.definition.params import Param
from tests.support.fetching import CLOCK, a_definition, a_request, a_target

PARAMS = {name: Param(name=name, description="") for name in ("auth_url", "org")}


def url(path: str, **params: str) -> str:
    target = a_target(
        definition=a_definition(params=PARAMS),
        params={name: (text,) for name, text in params.items()},
    )
    return draft_request(a_request(path), target, target.values(CLOCK), CLOCK).url


@pytest.mark.parametrize(
    ("path", "params", "address"),
    [
        ("{params.auth_url}/token", {"auth_url": "https://auth.example.com"},
         "https://auth.example.com/token"),
        ("{params.auth_url}/token", {"auth_url": "https://auth.example.com/"},
         "https://auth.example.com/token"),
        # A value that is no address, and an address in any other place, are parts of the path.
        ("{params.org}/usage", {"org": "acme/x"}, "https://api.example.com/acme%2Fx/usage"),
        ("/of/{params.org}", {"org": "https://x.example"},
         "https://api.example.com/of/https%3A%2F%2Fx.example"),
    ],
)  # fmt: skip
def test_a_leading_address_stays_as_it_is(path: str, params: dict[str, str], address: str) -> None:
    assert url(path, **params) == address
