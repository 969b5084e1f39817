"""How requests are signed."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from exporter.kernel.select import Selector
from exporter.kernel.templates import Template
from exporter.model.request import Request


class NoAuth(msgspec.Struct, frozen=True, kw_only=True):
    """The API is open, or this target goes without a credential."""

    needs: frozenset[str] = frozenset()


class HeaderAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Named headers, of which some carry secrets: bearer, a free scheme word, API keys."""

    headers: Mapping[str, Template]
    needs: frozenset[str]


class QueryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets as query arguments."""

    query: Mapping[str, Template]
    needs: frozenset[str]


class BasicAuth(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7617. The user name may be an e-mail address or a secret itself.

    ``encoded``: both are form-encoded before, as OAuth2 clients are (RFC 6749, 2.3.1).
    """

    username: Template
    password: Template
    needs: frozenset[str]
    encoded: bool = False


class DigestAuth(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7616, by aiohttp's middleware."""

    username: Template
    password: Template
    needs: frozenset[str]


class TokenAuth(msgspec.Struct, frozen=True, kw_only=True):
    """A token is fetched first, kept, and applied to each request as ``{token}``.

    The log-in of a vendor and OAuth2 client credentials are both this. The token is renewed before
    it expires (``expires_at`` holds a time, ``expires_in`` seconds, ``lifetime`` is the
    definition's own word, in seconds) and once when an answer is 401.
    """

    request: Request
    login: "NoAuth | BasicAuth | HeaderAuth" = NoAuth()  # how the token request itself is signed
    token: tuple[Selector, ...]
    expires_at: tuple[Selector, ...] = ()
    expires_in: tuple[Selector, ...] = ()
    lifetime: float | None = None
    apply: "HeaderAuth | QueryAuth"
    needs: frozenset[str]


Auth: TypeAlias = NoAuth | HeaderAuth | QueryAuth | BasicAuth | DigestAuth | TokenAuth
"""``needs`` of each names the credentials that its templates use."""
