"""Digest authentication against servers that offer it in their own way."""

import hashlib
import re
from collections.abc import Callable, Mapping

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.fetch.authorize import challenges
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import DigestAuth
from exporter.model.outcome import Reason
from tests.support.fetching import a_client, a_target, documents, failure, fetch
from tests.support.vendor import Vendor

AUTH = DigestAuth(
    username=compile_template("{credentials.u}"),
    password=compile_template("{credentials.p}"),
    needs=frozenset({"u", "p"}),
)
SECRETS = {"u": "ops", "p": "pass:word"}
MD5 = 'Digest realm="r, s", nonce="n1", qop="auth", algorithm=MD5'
SHA = 'Digest realm="r, s", nonce="n1", qop="auth-int,auth", algorithm=SHA-256'
ODD = 'Digest realm="r, s", nonce="n1", algorithm=WHIRLPOOL'


def asking(*lines: str) -> Callable[[VendorRequest], VendorResponse]:
    """Answer what is not signed with the challenges, and what is signed well with a value."""

    def answer(asked: VendorRequest) -> VendorResponse:
        signed = asked.headers.get("authorization", "")
        if signed.startswith("Digest ") and _fits(_parts(signed), asked.method):
            return json_response({"used": 1})
        return VendorResponse(
            status=401, headers=tuple(("WWW-Authenticate", line) for line in lines)
        )

    return answer


def _parts(text: str) -> dict[str, str]:
    return {key: a or b for key, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', text)}


def _fits(parts: Mapping[str, str], method: str) -> bool:
    def hashed(*texts: str) -> str:
        name = "sha256" if parts["algorithm"] == "SHA-256" else "md5"
        return hashlib.new(name, ":".join(texts).encode()).hexdigest()

    user = hashed(parts["username"], parts["realm"], SECRETS["p"])
    body = [hashed("")] if parts.get("qop") == "auth-int" else []
    asked = hashed(method, parts["uri"], *body)
    qop = [parts["nc"], parts["cnonce"], parts["qop"]] if "qop" in parts else []
    return parts["response"] == hashed(user, parts["nonce"], *qop, asked)


@pytest.mark.parametrize(
    "lines",
    [
        [MD5],
        [SHA],
        [SHA.replace("auth-int,auth", "auth-int")],
        ['Digest realm="r", nonce="n1"'],
        ['Basic realm="a, b"', MD5],
        [f'Basic realm="a, b", {SHA}'],
        ['Negotiate, Bearer scope="x"', MD5],
        [ODD, MD5],
        [f"{ODD}, {SHA}"],
    ],
)
async def test_the_first_challenge_that_can_be_answered_is(lines: list[str]) -> None:
    async with Vendor(asking(*lines)) as vendor, a_client() as client:
        target = a_target(vendor.base_url, auth=AUTH, secrets=SECRETS)
        for _ in range(2):
            assert documents(await fetch(target, client=client)) == [{"used": 1}]
    assert len(vendor.asked) == 3  # the second request is signed from the start


@pytest.mark.parametrize(
    "lines",
    [[], ["Digest"], ['Basic realm="x"'], [ODD], ['Digest realm="r", nonce="n", qop="other"']],
)
async def test_what_cannot_be_answered_is_a_refused_credential(lines: list[str]) -> None:
    async with Vendor(asking(*lines)) as vendor:
        found = failure(await fetch(a_target(vendor.base_url, auth=AUTH, secrets=SECRETS)))
    assert (found.reason, found.status) == (Reason.AUTH, 401)
    assert len(vendor.asked) == 1


def test_a_challenge_without_nonce_or_realm_is_none() -> None:
    assert (
        list(challenges(['Digest realm="r"', 'Digest nonce="", realm=r', "Digest nonce=n"])) == []
    )


def test_the_body_is_signed_only_where_the_server_insists() -> None:
    lines = [
        'Digest realm="r", nonce="a", qop="auth-int, auth"',
        "Digest nonce=b, realm=r, QOP=auth-int",
    ]
    assert list(challenges(lines)) == [
        'Digest realm="r", nonce="a", qop="auth"',
        "Digest nonce=b, realm=r, qop=auth-int",
    ]
