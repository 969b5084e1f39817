"""Authentication: every kind becomes headers, query arguments, basic, digest or a token."""

from collections.abc import Iterable, Mapping
from typing import assert_never

import msgspec
from msgspec import UnsetType

from exporter.config.compile import leaves
from exporter.config.compile.leaves import Scope
from exporter.config.compile.requests import address, request
from exporter.config.findings import Place
from exporter.config.grammar.auth import (
    AuthText,
    BasicText,
    BearerText,
    ClientCredentialsText,
    DigestText,
    HeaderText,
    LoginSignatureText,
    LoginText,
    NoAuthText,
    QueryText,
    SignatureText,
)
from exporter.kernel.select import compile_path
from exporter.kernel.templates import Template, compile_template
from exporter.model.definition import (
    Argument,
    Auth,
    BasicAuth,
    DigestAuth,
    HeaderAuth,
    Json,
    NoAuth,
    QueryAuth,
    Request,
    TokenAuth,
)

_CREDENTIAL = "{credentials.token}"
_FETCHED = "{token}"


def auths(place: Place, text: AuthText | list[AuthText], scope: Scope) -> tuple[Auth, ...]:
    """Compile the alternatives of a definition, in their order; without any: no credential."""
    scope = msgspec.structs.replace(scope, secrets=True)
    if not isinstance(text, list):
        return (auth(place, text, scope),)
    return tuple(auth(place / index, one, scope) for index, one in enumerate(text)) or (NoAuth(),)


def auth(place: Place, text: AuthText, scope: Scope) -> Auth:
    """Compile one way to prove who asks."""
    match text:
        case NoAuthText():
            return NoAuth()
        case BearerText() | HeaderText() | QueryText():
            return _signature(place, text, scope, _CREDENTIAL)
        case BasicText():
            return _basic(place, text, scope)
        case DigestText():
            username = leaves.template(place / "username", text.username, scope)
            password = leaves.template(place / "password", text.password, scope)
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
    place: Place, text: SignatureText, scope: Scope, token: str
) -> HeaderAuth | QueryAuth:
    """Compile what goes into each request: a header or an argument."""
    match text:
        case BearerText():
            own = text.token
            given, at = (token, place) if isinstance(own, UnsetType) else (own, place / "token")
            words = f"{_literal(text.scheme)} {given}" if text.scheme else given
            headers = {"Authorization": leaves.template(at, words, scope)}
            return HeaderAuth(headers=headers, needs=_needs(headers.values()))
        case HeaderText():
            headers = {
                leaves.header(place / "headers" / name, name): leaves.template(
                    place / "headers" / name, value, scope
                )
                for name, value in text.headers.items()
            }
            return HeaderAuth(headers=headers, needs=_needs(headers.values()))
        case QueryText():
            query = {
                name: leaves.template(place / "query" / name, value, scope)
                for name, value in text.query.items()
            }
            return QueryAuth(query=query, needs=_needs(query.values()))
        case _:
            assert_never(text)


def _basic(place: Place, text: BasicText, scope: Scope) -> BasicAuth:
    username = leaves.template(place / "username", text.username, scope)
    password = leaves.template(place / "password", text.password, scope)
    return BasicAuth(username=username, password=password, needs=_needs([username, password]))


def _login(place: Place, text: LoginText, scope: Scope) -> TokenAuth:
    asked = request(place / "request", text.request, scope)
    signed = _login_signature(place / "login", text.login, scope)
    apply = _signature(
        place / "apply", text.apply, msgspec.structs.replace(scope, token=True), _FETCHED
    )
    _check_token_used(place / "apply", apply)
    return TokenAuth(
        request=asked,
        login=signed,
        token=leaves.paths(place / "token", text.token),
        expires_at=leaves.paths(place / "expires_at", text.expires_at),
        expires_in=leaves.paths(place / "expires_in", text.expires_in),
        lifetime=leaves.positive_duration(place / "lifetime", text.lifetime),
        apply=apply,
        needs=_needs(_templates(asked)) | signed.needs | apply.needs,
    )


def _login_signature(
    place: Place, text: LoginSignatureText | UnsetType, scope: Scope
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


def _check_token_used(place: Place, apply: HeaderAuth | QueryAuth) -> None:
    templates = apply.headers if isinstance(apply, HeaderAuth) else apply.query
    if not any("token" in template.variables for template in templates.values()):
        place.error('The token that was fetched is not used. Write "{token}" where it goes.')


def _client_credentials(place: Place, text: ClientCredentialsText, scope: Scope) -> TokenAuth:
    client = leaves.template(place / "client_id", text.client_id, scope)
    secret = leaves.template(place / "client_secret", text.client_secret, scope)
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
        form[name] = leaves.template(place / "params" / name, value, scope)
    url = address(place / "token_url", text.token_url, scope)
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
