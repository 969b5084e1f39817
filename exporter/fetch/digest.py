"""Digest authentication by aiohttp, for servers that offer more than one way to sign.

A server may name several challenges, in one header line or in several, and Basic first. aiohttp
answers the first of the first line alone; here the first that it can answer is found for it.
"""

import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import cast

import aiohttp
from aiohttp.client_middleware_digest_auth import DigestFunctions

from exporter.kernel.override import override

_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s,"]+)'
_PARAM = rf"[\w-]+\s*=\s*{_VALUE}"
_CHALLENGE = re.compile(rf"(?:^|,)\s*([\w-]+)\s+({_PARAM}(?:\s*,\s*{_PARAM})*)")
_PARTS = re.compile(rf"([\w-]+)\s*=\s*({_VALUE})")
_MOST_LINES, _LONGEST = 16, 4096  # header lines, and characters of each, that are read
_QUALITIES = frozenset({"auth", "auth-int"})


class Digest(aiohttp.DigestAuthMiddleware):
    """aiohttp's digest, on the first challenge of an answer that it understands."""

    @override
    def _authenticate(self, response: aiohttp.ClientResponse) -> bool:
        lines = response.headers.getall("www-authenticate", [])
        challenge = next(challenges(lines), None)
        if challenge is None:
            return False
        headers = {"www-authenticate": challenge}
        one = SimpleNamespace(status=response.status, url=response.url, headers=headers)
        return super()._authenticate(cast("aiohttp.ClientResponse", one))


def challenges(lines: list[str]) -> Iterator[str]:
    """Yield the Digest challenges of ``WWW-Authenticate`` lines that can be answered.

    Where a server takes "auth" as well as "auth-int", the body is left out, as curl does: servers
    that announce "auth-int" do not all know it.
    """
    for line in lines[:_MOST_LINES]:
        for scheme, params in _CHALLENGE.findall(line[:_LONGEST]):
            parts = {name.lower(): value for name, value in _PARTS.findall(params)}
            qualities = {one.strip() for one in parts.get("qop", "auth").strip('"').split(",")}
            if "auth" in qualities and "qop" in parts:
                parts["qop"] = '"auth"'
            if scheme.lower() == "digest" and qualities & _QUALITIES and _is_known(parts):
                yield "Digest " + ", ".join(f"{name}={value}" for name, value in parts.items())


def _is_known(parts: Mapping[str, str]) -> bool:
    algorithm = parts.get("algorithm", "MD5").strip('"').upper()
    nonce = parts.get("nonce", "").strip('"')
    return algorithm in DigestFunctions and bool(nonce) and "realm" in parts
