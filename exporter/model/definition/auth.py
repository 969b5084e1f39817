"""How requests are signed.

Ways to prove who asks, as text.

Authentication: every kind becomes headers, query arguments, basic, digest or a token.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.problems import ErrorLocation
from exporter.kernel.templates import Template, compile_template
from exporter.model.definition import parsers
from exporter.model.definition.parsers import (
    DurationStr,
    PathOrPaths,
    Strict,
    TemplateScope,
    TemplateStr,
)
from exporter.model.definition.request import (
    Argument,
    Json,
    Request,
    RequestText,
    compile_address,
    compile_request,
)


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
_PASSWORD = "{credentials.password}"  # noqa: S105 - a hole, not a secret


class NoAuthText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="none"):
    """No credential at all."""


class BearerText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="bearer"):
    """Authorization: SCHEME TOKEN."""

    scheme: Annotated[str, Meta(description="The word before the token.")] = "Bearer"
    token: Annotated[
        TemplateStr | UnsetType,
        Meta(description='The token; "{credentials.token}", after a log-in "{token}".'),
    ] = UNSET


class HeaderText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="header"):
    """Headers of the vendor's own."""

    headers: Annotated[
        dict[str, TemplateStr], Meta(description='{X-Api-Key: "{credentials.api_key}"}')
    ]


class QueryText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="query"):
    """Query arguments."""

    query: Annotated[dict[str, TemplateStr], Meta(description='{api_key: "{credentials.token}"}')]


class BasicText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="basic"):
    """User name and password by RFC 7617."""

    username: Annotated[TemplateStr, Meta(description="The user name.")] = "{credentials.username}"
    password: Annotated[TemplateStr, Meta(description="The password.")] = _PASSWORD


class DigestText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="digest"):
    """User name and password by RFC 7616."""

    username: Annotated[TemplateStr, Meta(description="The user name.")] = "{credentials.username}"
    password: Annotated[TemplateStr, Meta(description="The password.")] = _PASSWORD


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


class ClientCredentialsText(
    Strict, kw_only=True, frozen=True, tag_field="kind", tag="oauth2_client_credentials"
):
    """OAuth2 client credentials (RFC 6749, 4.4)."""

    token_url: Annotated[TemplateStr, Meta(description="The token endpoint.")]
    client_id: Annotated[TemplateStr, Meta(description="The client.")] = "{credentials.client_id}"
    client_secret: Annotated[TemplateStr, Meta(description="The client's secret.")] = (
        "{credentials.client_secret}"  # noqa: S105 - a hole, not a secret
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
_CREDENTIAL = "{credentials.token}"
_FETCHED = "{token}"


def compile_auths(
    place: ErrorLocation, text: AuthText | list[AuthText], scope: TemplateScope
) -> tuple[Auth, ...]:
    """Compile the alternatives of a definition, in their order; without any: no credential."""
    scope = msgspec.structs.replace(scope, secrets=True)
    if not isinstance(text, list):
        return (compile_auth(place, text, scope),)
    return tuple(compile_auth(place / index, one, scope) for index, one in enumerate(text)) or (
        NoAuth(),
    )


def compile_auth(place: ErrorLocation, text: AuthText, scope: TemplateScope) -> Auth:
    """Compile one way to prove who asks."""
    match text:
        case NoAuthText():
            return NoAuth()
        case BearerText() | HeaderText() | QueryText():
            return _signature(place, text, scope, _CREDENTIAL)
        case BasicText():
            return _basic(place, text, scope)
        case DigestText():
            username = parsers.parse_template(place / "username", text.username, scope)
            password = parsers.parse_template(place / "password", text.password, scope)
            return DigestAuth(
                username=username, password=password, needs=_needs([username, password])
            )
        case LoginText():
            return _login(place, text, scope)
        case ClientCredentialsText():
            return _client_credentials(place, text, scope)
        case _:
            assert_never(text)


def _signature(
    place: ErrorLocation, text: SignatureText, scope: TemplateScope, token: str
) -> HeaderAuth | QueryAuth:
    """Compile what goes into each request: a header or an argument."""
    match text:
        case BearerText():
            own = text.token
            given, at = (token, place) if isinstance(own, UnsetType) else (own, place / "token")
            words = f"{_literal(text.scheme)} {given}" if text.scheme else given
            headers = {"Authorization": parsers.parse_template(at, words, scope)}
            return HeaderAuth(headers=headers, needs=_needs(headers.values()))
        case HeaderText():
            headers = {
                parsers.parse_header(place / "headers" / name, name): parsers.parse_template(
                    place / "headers" / name, value, scope
                )
                for name, value in text.headers.items()
            }
            return HeaderAuth(headers=headers, needs=_needs(headers.values()))
        case QueryText():
            query = {
                name: parsers.parse_template(place / "query" / name, value, scope)
                for name, value in text.query.items()
            }
            return QueryAuth(query=query, needs=_needs(query.values()))
        case _:
            assert_never(text)


def _basic(place: ErrorLocation, text: BasicText, scope: TemplateScope) -> BasicAuth:
    username = parsers.parse_template(place / "username", text.username, scope)
    password = parsers.parse_template(place / "password", text.password, scope)
    return BasicAuth(username=username, password=password, needs=_needs([username, password]))


def _login(place: ErrorLocation, text: LoginText, scope: TemplateScope) -> TokenAuth:
    asked = compile_request(place / "request", text.request, scope)
    signed = _login_signature(place / "login", text.login, scope)
    apply = _signature(
        place / "apply", text.apply, msgspec.structs.replace(scope, token=True), _FETCHED
    )
    _check_token_used(place / "apply", apply)
    return TokenAuth(
        request=asked,
        login=signed,
        token=parsers.parse_paths(place / "token", text.token),
        expires_at=parsers.parse_paths(place / "expires_at", text.expires_at),
        expires_in=parsers.parse_paths(place / "expires_in", text.expires_in),
        lifetime=parsers.parse_positive_interval(place / "lifetime", text.lifetime),
        apply=apply,
        needs=_needs(_templates(asked)) | signed.needs | apply.needs,
    )


def _login_signature(
    place: ErrorLocation, text: LoginSignatureText | UnsetType, scope: TemplateScope
) -> NoAuth | BasicAuth | HeaderAuth:
    match text:
        case UnsetType() | NoAuthText():
            return NoAuth()
        case BasicText():
            return _basic(place, text, scope)
        case BearerText() | HeaderText():
            signed = _signature(place, text, scope, _CREDENTIAL)
            return signed if isinstance(signed, HeaderAuth) else NoAuth()
        case _:
            assert_never(text)


def _check_token_used(place: ErrorLocation, apply: HeaderAuth | QueryAuth) -> None:
    templates = apply.headers if isinstance(apply, HeaderAuth) else apply.query
    if not any("token" in template.variables for template in templates.values()):
        place.error('The token that was fetched is not used. Write "{token}" where it goes.')


def _client_credentials(
    place: ErrorLocation, text: ClientCredentialsText, scope: TemplateScope
) -> TokenAuth:
    client = parsers.parse_template(place / "client_id", text.client_id, scope)
    secret = parsers.parse_template(place / "client_secret", text.client_secret, scope)
    form = {"grant_type": compile_template("client_credentials")}
    if text.scopes:
        form["scope"] = compile_template(_literal(" ".join(text.scopes)))
    login: NoAuth | BasicAuth = NoAuth()
    if text.client_auth == "basic":
        login = BasicAuth(
            username=client, password=secret, needs=_needs([client, secret]), encoded=True
        )
    else:
        form |= {"client_id": client, "client_secret": secret}
    for name, value in text.params.items():
        form[name] = parsers.parse_template(place / "params" / name, value, scope)
    url = compile_address(place / "token_url", text.token_url, scope)
    return TokenAuth(
        request=Request(
            method="POST",
            path=url,
            form=tuple(Argument(name=name, values=(value,)) for name, value in form.items()),
        ),
        login=login,
        token=(compile_path("access_token"),),
        expires_in=(compile_path("expires_in"),),
        apply=HeaderAuth(
            headers={"Authorization": compile_template("Bearer {token}")}, needs=frozenset()
        ),
        needs=_needs([client, secret, url, *form.values()]),
    )


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _needs(templates: Iterable[Template]) -> frozenset[str]:
    """Return the credentials that these templates use."""
    variables = (variable.partition(".") for one in templates for variable in one.variables)
    return frozenset(name for root, _, name in variables if root == "credentials")


def _templates(asked: Request) -> list[Template]:
    arguments = (*asked.query, *asked.item_query, *asked.form)
    return [
        asked.path,
        *asked.headers.values(),
        *(value for argument in arguments for value in argument.values),
        *_in_json(asked.json),
    ]


def _in_json(value: Json) -> list[Template]:
    match value:
        case Template():
            return [value]
        case tuple():
            return [template for one in value for template in _in_json(one)]
        case Mapping():
            return [template for one in value.values() for template in _in_json(one)]
        case _:
            return []
