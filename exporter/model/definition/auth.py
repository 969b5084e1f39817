"""Authentication: how requests prove who asks.

Eight tags of ``auth: {kind: ...}`` become six compiled kinds: headers, query arguments, basic,
digest, a token that is fetched first, and nothing. Each tag stands here as its keys (``...Text``,
with ``compile``) beside the kind it becomes. ``fetch.authorize`` signs requests and is the only
other module that tells the kinds apart; what anyone else needs to know of a kind is an attribute:

- ``needs``: the names of the credentials that its templates use. Of a definition's alternatives, a
  target uses the first whose needs it has.
- ``templates``: what a signature is made from.
- ``token_auth``: itself where a token is fetched first, else None.
- ``describe(code)``: the kind as words that follow "requests are signed"; ``code`` formats what is
  quoted from the definition.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.override import override
from exporter.kernel.problems import ErrorLocation
from exporter.kernel.templates import Template, compile_template
from exporter.model.definition import parsers
from exporter.model.definition.parsers import (
    CodeFormat,
    DurationStr,
    PathOrPaths,
    Strict,
    TemplateScope,
    TemplateStr,
)
from exporter.model.definition.request import (
    Argument,
    Request,
    RequestText,
    compile_address,
    compile_request,
)


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    needs: frozenset[str] = frozenset()

    @property
    def token_auth(self) -> "TokenAuth | None":
        """Itself where a token is fetched before the first request."""
        return None


class NoAuthText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="none"):
    """No credential at all."""

    def compile(self, _place: ErrorLocation, _scope: TemplateScope) -> "NoAuth":
        """Return the compiled form."""
        return NoAuth()


class NoAuth(_Kind, frozen=True, kw_only=True):
    """The API is open, or this target goes without a credential."""

    templates: ClassVar[tuple[Template, ...]] = ()

    def describe(self, code: CodeFormat = str) -> str:
        """Say that there is no signature."""
        return "without credentials"


class BearerText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="bearer"):
    """Authorization: SCHEME TOKEN."""

    scheme: Annotated[str, Meta(description="The word before the token.")] = "Bearer"
    token: Annotated[
        TemplateStr | UnsetType,
        Meta(description='The token; "{credentials.token}", after a log-in "{token}".'),
    ] = UNSET

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "HeaderAuth":
        """Return the compiled form. Where a token was fetched, that is the default."""
        at, token = place / "token", self.token
        if isinstance(token, UnsetType):
            at, token = place, "{token}" if scope.token else "{credentials.token}"
        text = f"{_literal(self.scheme)} {token}" if self.scheme else token
        header = parsers.parse_template(at, text, scope)
        return HeaderAuth(headers={"Authorization": header}, needs=_needs([header]))


class HeaderText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="header"):
    """Headers of the vendor's own."""

    headers: Annotated[
        dict[str, TemplateStr], Meta(description='{X-Api-Key: "{credentials.api_key}"}')
    ]

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "HeaderAuth":
        """Return the compiled form."""
        headers = {
            parsers.parse_header(at := place / "headers" / name, name): parsers.parse_template(
                at, value, scope
            )
            for name, value in self.headers.items()
        }
        return HeaderAuth(headers=headers, needs=_needs(headers.values()))


class HeaderAuth(_Kind, frozen=True, kw_only=True):
    """Named headers, of which some carry secrets: bearer, a free scheme word, API keys."""

    headers: Mapping[str, Template]

    @property
    def templates(self) -> tuple[Template, ...]:
        """The values of the headers."""
        return tuple(self.headers.values())

    def describe(self, code: CodeFormat = str) -> str:
        """Return the headers with their templates."""
        lines = (code(f"{name}: {value.text}") for name, value in self.headers.items())
        return f"with {', '.join(lines)}"


class QueryText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="query"):
    """Query arguments."""

    query: Annotated[dict[str, TemplateStr], Meta(description='{api_key: "{credentials.token}"}')]

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "QueryAuth":
        """Return the compiled form."""
        query = {
            name: parsers.parse_template(place / "query" / name, value, scope)
            for name, value in self.query.items()
        }
        return QueryAuth(query=query, needs=_needs(query.values()))


class QueryAuth(_Kind, frozen=True, kw_only=True):
    """Secrets as query arguments."""

    query: Mapping[str, Template]

    @property
    def templates(self) -> tuple[Template, ...]:
        """The values of the arguments."""
        return tuple(self.query.values())

    def describe(self, code: CodeFormat = str) -> str:
        """Return the arguments with their templates."""
        lines = (code(f"{quote(name)}={value.text}") for name, value in self.query.items())
        return f"with {', '.join(lines)} in the query"


_USERNAME = "{credentials.username}"
_PASSWORD = "{credentials.password}"  # noqa: S105 - a template, not a secret


class BasicText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="basic"):
    """User name and password by RFC 7617."""

    username: Annotated[TemplateStr, Meta(description="The user name.")] = _USERNAME
    password: Annotated[TemplateStr, Meta(description="The password.")] = _PASSWORD

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "BasicAuth":
        """Return the compiled form."""
        pair = _pair(place, scope, self.username, self.password)
        return BasicAuth(username=pair[0], password=pair[1], needs=_needs(pair))


class BasicAuth(_Kind, frozen=True, kw_only=True):
    """RFC 7617. The user name may be an e-mail address or a secret itself.

    ``encoded``: both are form-encoded before, as OAuth2 clients are (RFC 6749, 2.3.1).
    """

    username: Template
    password: Template
    encoded: bool = False

    @property
    def templates(self) -> tuple[Template, ...]:
        """User name and password."""
        return (self.username, self.password)

    def describe(self, code: CodeFormat = str) -> str:
        """Return user name and password as templates."""
        user, password = code(self.username.text), code(self.password.text)
        return f"with basic authentication: {user} : {password}"


class DigestText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="digest"):
    """User name and password by RFC 7616."""

    username: Annotated[TemplateStr, Meta(description="The user name.")] = _USERNAME
    password: Annotated[TemplateStr, Meta(description="The password.")] = _PASSWORD

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "DigestAuth":
        """Return the compiled form."""
        pair = _pair(place, scope, self.username, self.password)
        return DigestAuth(username=pair[0], password=pair[1], needs=_needs(pair))


class DigestAuth(_Kind, frozen=True, kw_only=True):
    """RFC 7616, by aiohttp's middleware."""

    username: Template
    password: Template

    @property
    def templates(self) -> tuple[Template, ...]:
        """User name and password."""
        return (self.username, self.password)

    def describe(self, code: CodeFormat = str) -> str:
        """Return user name and password as templates."""
        user, password = code(self.username.text), code(self.password.text)
        return f"with digest authentication: {user} : {password}"


SignatureText: TypeAlias = BearerText | HeaderText | QueryText
LoginSignatureText: TypeAlias = NoAuthText | BasicText | BearerText | HeaderText


class LoginText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="login"):
    """A token is fetched first, kept, and renewed before it expires or once after a 401."""

    request: Annotated[RequestText, Meta(description="The request that answers with a token.")]
    login: Annotated[
        LoginSignatureText | UnsetType, Meta(description="How that request is signed itself.")
    ] = UNSET
    token: Annotated[PathOrPaths, Meta(description="Where the token stands in the answer.")]
    expires_at: Annotated[
        PathOrPaths | UnsetType, Meta(description="Where the time of its expiry stands.")
    ] = UNSET
    expires_in: Annotated[
        PathOrPaths | UnsetType, Meta(description="Where the seconds until its expiry stand.")
    ] = UNSET
    lifetime: Annotated[
        DurationStr | UnsetType,
        Meta(description="How long a token lives, where no answer says so."),
    ] = UNSET
    apply: Annotated[
        SignatureText, Meta(description="How the token goes into the collectors' requests.")
    ] = field(default_factory=BearerText)

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "TokenAuth":
        """Return the compiled form. What applies the token has to use it."""
        request = compile_request(place / "request", self.request, scope)
        login = NoAuth() if self.login is UNSET else self.login.compile(place / "login", scope)
        with_token = msgspec.structs.replace(scope, token=True)
        apply = self.apply.compile(place / "apply", with_token)
        if not any("token" in template.variables for template in apply.templates):
            (place / "apply").error(
                'The token that was fetched is not used. Write "{token}" where it goes.'
            )
        return TokenAuth(
            request=request,
            login=login,
            token=parsers.parse_paths(place / "token", self.token),
            expires_at=parsers.parse_paths(place / "expires_at", self.expires_at),
            expires_in=parsers.parse_paths(place / "expires_in", self.expires_in),
            lifetime=parsers.parse_positive_interval(place / "lifetime", self.lifetime),
            apply=apply,
            needs=_needs(request.templates) | login.needs | apply.needs,
        )


class ClientCredentialsText(
    Strict, kw_only=True, frozen=True, tag_field="kind", tag="oauth2_client_credentials"
):
    """OAuth2 client credentials (RFC 6749, 4.4)."""

    token_url: Annotated[TemplateStr, Meta(description="The token endpoint.")]
    client_id: Annotated[TemplateStr, Meta(description="The client.")] = "{credentials.client_id}"
    client_secret: Annotated[TemplateStr, Meta(description="The client's secret.")] = (
        "{credentials.client_secret}"  # noqa: S105 - a template, not a secret
    )
    scopes: Annotated[list[str], Meta(description="The scopes to ask for.")] = field(
        default_factory=list
    )
    client_auth: Annotated[
        Literal["basic", "body"], Meta(description="Where client and secret are sent.")
    ] = "basic"
    params: Annotated[
        dict[str, TemplateStr], Meta(description="Further form arguments: {audience: …}.")
    ] = field(default_factory=dict)

    def compile(self, place: ErrorLocation, scope: TemplateScope) -> "TokenAuth":
        """Return the compiled form: a log-in whose request and answer RFC 6749 fixes."""
        client = parsers.parse_template(place / "client_id", self.client_id, scope)
        secret = parsers.parse_template(place / "client_secret", self.client_secret, scope)
        form = {"grant_type": compile_template("client_credentials")}
        if self.scopes:
            form["scope"] = compile_template(_literal(" ".join(self.scopes)))
        login: NoAuth | BasicAuth = NoAuth()
        if self.client_auth == "basic":
            login = BasicAuth(
                username=client, password=secret, needs=_needs([client, secret]), encoded=True
            )
        else:
            form |= {"client_id": client, "client_secret": secret}
        for name, value in self.params.items():
            form[name] = parsers.parse_template(place / "params" / name, value, scope)
        url = compile_address(place / "token_url", self.token_url, scope)
        return TokenAuth(
            request=Request(
                method="POST",
                path=url,
                form=tuple(Argument(name=name, values=(value,)) for name, value in form.items()),
            ),
            login=login,
            token=(compile_path("access_token"),),
            expires_in=(compile_path("expires_in"),),
            apply=HeaderAuth(headers={"Authorization": compile_template("Bearer {token}")}),
            needs=_needs([client, secret, url, *form.values()]),
        )


class TokenAuth(_Kind, frozen=True, kw_only=True):
    """A token is fetched first, kept, and applied to each request as ``{token}``.

    The log-in of a vendor and OAuth2 client credentials are both this. The token is renewed before
    it expires (``expires_at`` holds a time, ``expires_in`` seconds, ``lifetime`` is the
    definition's own word, in seconds) and once when an answer is 401.
    """

    request: Request
    login: NoAuth | BasicAuth | HeaderAuth = NoAuth()  # how the token request itself is signed
    token: tuple[Selector, ...]
    expires_at: tuple[Selector, ...] = ()
    expires_in: tuple[Selector, ...] = ()
    lifetime: float | None = None
    apply: HeaderAuth | QueryAuth

    @property
    def templates(self) -> tuple[Template, ...]:
        """What the token is applied with."""
        return self.apply.templates

    @property
    @override
    def token_auth(self) -> "TokenAuth":
        """Itself."""
        return self

    def describe(self, code: CodeFormat = str) -> str:
        """Say how the token is applied, where it comes from, and how that request is signed."""
        signed = f", itself {self.login.describe(code)}" if self.login != NoAuth() else ""
        address = code(f"{self.request.method} {self.request.path.text}")
        return f"{self.apply.describe(code)}, a token from {address}{signed}"


AuthText: TypeAlias = (
    NoAuthText
    | BearerText
    | HeaderText
    | QueryText
    | BasicText
    | DigestText
    | LoginText
    | ClientCredentialsText
)
Auth: TypeAlias = NoAuth | HeaderAuth | QueryAuth | BasicAuth | DigestAuth | TokenAuth


def compile_auths(
    place: ErrorLocation, text: AuthText | list[AuthText], scope: TemplateScope
) -> tuple[Auth, ...]:
    """Compile the alternatives of a definition, in their order; without any: no credential."""
    scope = msgspec.structs.replace(scope, secrets=True)
    if not isinstance(text, list):
        return (text.compile(place, scope),)
    return tuple(one.compile(place / index, scope) for index, one in enumerate(text)) or (NoAuth(),)


def _pair(
    place: ErrorLocation, scope: TemplateScope, username: str, password: str
) -> tuple[Template, Template]:
    return (
        parsers.parse_template(place / "username", username, scope),
        parsers.parse_template(place / "password", password, scope),
    )


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _needs(templates: Iterable[Template]) -> frozenset[str]:
    """Return the credentials that these templates use."""
    variables = (variable.partition(".") for one in templates for variable in one.variables)
    return frozenset(name for root, _, name in variables if root == "credentials")
