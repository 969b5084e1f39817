"""Digest authentication by aiohttp, for servers that offer more than one way to sign.

A server may name several challenges, in one header line or in several, and Basic first. aiohttp
answers the first of the first line alone; here the first that it can answer is found for it.
"""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import aiohttp
from aiohttp.client_middleware_digest_auth import DigestFunctions

from exporter.kernel.override import override

_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s,"]+)'
_PARAM = rf"[\w-]+\s*=\s*{_VALUE}"
_CHALLENGE = re.compile(rf"(?:^|,)\s*([\w-]+)\s+({_PARAM}(?:\s*,\s*{_PARAM})*)")
_PARTS = re.compile(rf"([\w-]+)\s*=\s*({_VALUE})")
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
    """Yield the Digest challenges of ``WWW-Authenticate`` lines that can be answered."""
    for line in lines:
        for scheme, params in _CHALLENGE.findall(line):
            if scheme.lower() == "digest" and _is_known(params):
                yield f"Digest {params}"


def _is_known(params: str) -> bool:
    parts = {name.lower(): value.strip('"') for name, value in _PARTS.findall(params)}
    qualities = {one.strip() for one in parts.get("qop", "auth").split(",")}
    algorithm = parts.get("algorithm", "MD5").upper()
    nonce = bool(parts.get("nonce")) and "realm" in parts
    return nonce and algorithm in DigestFunctions and bool(qualities & _QUALITIES)
