"""Ways to prove who asks, as text."""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field

from exporter.config.grammar.requests import RequestText
from exporter.config.grammar.words import Duration, Paths, Strict, Template

_PASSWORD = "{credentials.password}"  # noqa: S105 - a hole, not a secret


class NoAuthText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="none"):
    """No credential at all."""


class BearerText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="bearer"):
    """Authorization: SCHEME TOKEN."""

    scheme: Annotated[str, Meta(description="The word before the token.")] = "Bearer"
    token: Annotated[
        Template | UnsetType,
        Meta(description='The token; "{credentials.token}", after a log-in "{token}".'),
    ] = UNSET


class HeaderText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="header"):
    """Headers of the vendor's own."""

    headers: Annotated[
        dict[str, Template], Meta(description='{X-Api-Key: "{credentials.api_key}"}')
    ]


class QueryText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="query"):
    """Query arguments."""

    query: Annotated[dict[str, Template], Meta(description='{api_key: "{credentials.token}"}')]


class BasicText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="basic"):
    """User name and password by RFC 7617."""

    username: Annotated[Template, Meta(description="The user name.")] = "{credentials.username}"
    password: Annotated[Template, Meta(description="The password.")] = _PASSWORD


class DigestText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="digest"):
    """User name and password by RFC 7616."""

    username: Annotated[Template, Meta(description="The user name.")] = "{credentials.username}"
    password: Annotated[Template, Meta(description="The password.")] = _PASSWORD


SignatureText: TypeAlias = BearerText | HeaderText | QueryText
LoginSignatureText: TypeAlias = NoAuthText | BasicText | BearerText | HeaderText


class LoginText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="login"):
    """A token is fetched first, kept, and renewed before it expires or once after a 401."""

    request: Annotated[RequestText, Meta(description="The request that answers with a token.")]
    login: Annotated[
        LoginSignatureText | UnsetType, Meta(description="How that request is signed itself.")
    ] = UNSET
    token: Annotated[Paths, Meta(description="Where the token stands in the answer.")]
    expires_at: Annotated[
        Paths | UnsetType, Meta(description="Where the time of its expiry stands.")
    ] = UNSET
    expires_in: Annotated[
        Paths | UnsetType, Meta(description="Where the seconds until its expiry stand.")
    ] = UNSET
    lifetime: Annotated[
        Duration | UnsetType, Meta(description="How long a token lives, where no answer says so.")
    ] = UNSET
    apply: Annotated[
        SignatureText, Meta(description="How the token goes into the collectors' requests.")
    ] = field(default_factory=BearerText)


class ClientCredentialsText(
    Strict, kw_only=True, frozen=True, tag_field="kind", tag="oauth2_client_credentials"
):
    """OAuth2 client credentials (RFC 6749, 4.4)."""

    token_url: Annotated[Template, Meta(description="The token endpoint.")]
    client_id: Annotated[Template, Meta(description="The client.")] = "{credentials.client_id}"
    client_secret: Annotated[Template, Meta(description="The client's secret.")] = (
        "{credentials.client_secret}"  # noqa: S105 - a hole, not a secret
    )
    scopes: Annotated[list[str], Meta(description="The scopes to ask for.")] = field(
        default_factory=list
    )
    client_auth: Annotated[
        Literal["basic", "body"], Meta(description="Where client and secret are sent.")
    ] = "basic"
    params: Annotated[
        dict[str, Template], Meta(description="Further form arguments: {audience: …}.")
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
