"""The keys of the configuration file, as structs, and the JSON Schema that is made of them.

What the values mean is checked in ``plan``, ``target`` and the modules of its parts. The schemas of
the configuration and of definitions are for editors; defaults and descriptions stand here alone.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.config.library import shipped_names
from exporter.model.definition.parsers import DurationStr, PositiveInt, SecretStr, Strict
from exporter.model.definition.provider import DefinitionText

ParamValue: TypeAlias = str | int | bool
Share: TypeAlias = str | int | float


class GlobalText(Strict, kw_only=True, frozen=True):
    """What holds for all targets, where these say nothing else."""

    poll_interval: Annotated[
        DurationStr | UnsetType,
        Meta(
            description="Time between polls; collectors with an interval of their own keep it. "
            "Default 5m."
        ),
    ] = UNSET
    poll_timeout: Annotated[
        DurationStr | UnsetType,
        Meta(description="Deadline of a whole poll, all pages. Default 30s."),
    ] = UNSET
    stale_after: Annotated[
        DurationStr | UnsetType,
        Meta(
            description="Age at which values go; 0s = never. Default: the larger of 3 intervals "
            "and 1h."
        ),
    ] = UNSET
    max_series: Annotated[
        PositiveInt, Meta(description="The most series that a target publishes.")
    ] = 1000
    reserve: Annotated[
        Share | UnsetType,
        Meta(description="Share of a vendor's rate limit that is left to others. Default 20%."),
    ] = UNSET
    adaptive: Annotated[bool, Meta(description="Poll faster near a limit.")] = False
    max_concurrent_polls: Annotated[
        PositiveInt, Meta(description="How many polls may run at once.")
    ] = 64
    max_concurrent_polls_per_host: Annotated[
        PositiveInt, Meta(description="How many of them on one host.")
    ] = 16
    user_agent: Annotated[
        str | UnsetType, Meta(description="How the exporter names itself to vendors.")
    ] = UNSET


class StateText(Strict, kw_only=True, frozen=True):
    """Where readings and waits are kept over a restart."""

    file: Annotated[
        str | UnsetType, Meta(description="A SQLite file, relative to the configuration's folder.")
    ] = UNSET
    redis_url: Annotated[
        SecretStr | UnsetType,
        Meta(description="Not in this version: a state that several replicas share."),
    ] = UNSET


class ProvidersText(Strict, kw_only=True, frozen=True):
    """Definitions beside the shipped ones."""

    files: Annotated[
        list[str],
        Meta(description="Files or patterns, relative to the configuration's folder."),
    ] = field(default_factory=list)


class TlsText(Strict, kw_only=True, frozen=True):
    """Prometheus' tls_config. Files are relative to the configuration's folder."""

    ca_file: Annotated[str | UnsetType, Meta(description="The CAs to trust, PEM.")] = UNSET
    cert_file: Annotated[str | UnsetType, Meta(description="The client's certificate, PEM.")] = (
        UNSET
    )
    key_file: Annotated[str | UnsetType, Meta(description="The client's key, PEM.")] = UNSET
    server_name: Annotated[
        str, Meta(description="The name in the vendor's certificate, if not the address's.")
    ] = ""
    insecure_skip_verify: Annotated[
        bool, Meta(description="Do not check the vendor's certificate.")
    ] = False


class HeaderValuesText(Strict, kw_only=True, frozen=True):
    """Prometheus' form of a header."""

    values: Annotated[list[SecretStr], Meta(description="Its values.")]


class HttpText(Strict, kw_only=True, frozen=True):
    """How the vendor is reached: Prometheus' http_config words."""

    proxy_url: Annotated[
        SecretStr | UnsetType, Meta(description="An HTTP proxy: http://proxy.example.com:3128.")
    ] = UNSET
    proxy_from_environment: Annotated[
        bool, Meta(description="Take the proxy from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
    ] = False
    tls_config: Annotated[TlsText, Meta(description="Certificates.")] = field(
        default_factory=TlsText
    )
    http_headers: Annotated[
        dict[str, SecretStr | HeaderValuesText],
        Meta(description="Further headers of each request; secrets belong under credentials."),
    ] = field(default_factory=dict)


class CollectorSettingText(Strict, kw_only=True, frozen=True):
    """Switches a collector on, with an interval of its own."""

    poll_interval: Annotated[DurationStr, Meta(description="Time between its polls.")]


class TargetText(Strict, kw_only=True, frozen=True):
    """A provider, an account, its credentials."""

    name: Annotated[str, Meta(description="The account label; unique.")]
    provider: Annotated[str, Meta(description="The name of a definition, shipped or your own.")]
    base_url: Annotated[
        str | UnsetType, Meta(description="The API's address, if not the definition's.")
    ] = UNSET
    credentials: Annotated[
        dict[str, SecretStr],
        Meta(
            description="By the names of the definition: NAME is the secret itself, NAME_file the "
            "path of a file that holds it, NAME_env an environment variable."
        ),
    ] = field(default_factory=dict)
    params: Annotated[
        dict[str, ParamValue | list[ParamValue]],
        Meta(description='By the names of the definition; "" leaves one out.'),
    ] = field(default_factory=dict)
    accounts: Annotated[
        list[str | int], Meta(description="Only these accounts, where the provider has several.")
    ] = field(default_factory=list)
    limits: Annotated[
        dict[str, str | int | float],
        Meta(description="By resource, where the API gives none: 5 TB, 1000; spend: 200 USD."),
    ] = field(default_factory=dict)
    labels: Annotated[
        dict[str, str], Meta(description="Labels of usage_account_info, for joins.")
    ] = field(default_factory=dict)
    items: Annotated[bool, Meta(description="Publish breakdowns too.")] = False
    collectors: Annotated[
        dict[str, bool | CollectorSettingText],
        Meta(description="Switch collectors on or off, or give them an interval of their own."),
    ] = field(default_factory=dict)
    poll_interval: Annotated[DurationStr | UnsetType, Meta(description="Time between polls.")] = (
        UNSET
    )
    poll_timeout: Annotated[
        DurationStr | UnsetType, Meta(description="Deadline of a whole poll, all pages.")
    ] = UNSET
    stale_after: Annotated[
        DurationStr | UnsetType, Meta(description="Age at which values go; 0s = never.")
    ] = UNSET
    max_series: Annotated[
        PositiveInt | UnsetType, Meta(description="The most series that it publishes.")
    ] = UNSET
    reserve: Annotated[
        Share | UnsetType, Meta(description="Share of the vendor's rate limit left to others.")
    ] = UNSET
    adaptive: Annotated[bool | UnsetType, Meta(description="Poll faster near a limit.")] = UNSET
    http: Annotated[HttpText | UnsetType, Meta(description="How the vendor is reached.")] = UNSET


class ConfigText(Strict, kw_only=True, frozen=True):
    """The configuration of usage-exporter."""

    defaults: Annotated[GlobalText, Meta(description="What holds for all targets.")] = field(
        name="global", default_factory=GlobalText
    )
    state: Annotated[
        StateText, Meta(description="What is kept over a restart; without it nothing.")
    ] = field(default_factory=StateText)
    providers: Annotated[ProvidersText, Meta(description="Your own definitions.")] = field(
        default_factory=ProvidersText
    )
    targets: Annotated[list[TargetText], Meta(description="What to poll.")]


Schema: TypeAlias = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> Schema:
    """Return the schema of the configuration file."""
    schema = _schema(ConfigText, "usage-exporter: configuration")
    schema["$defs"]["TargetText"]["properties"]["provider"]["examples"] = list(shipped_names())
    return schema


def provider_schema() -> Schema:
    """Return the schema of a definition."""
    return _schema(DefinitionText, "usage-exporter: definition of a provider")


def _schema(root: type, title: str) -> Schema:
    made = msgspec.json.schema(root, ref_template="#/$defs/{name}")
    definitions: dict[str, Schema] = made["$defs"]
    top = definitions.pop(root.__name__)
    for one in definitions.values():
        _polish(one)
    return {"$schema": _DIALECT, **_polish(top), "title": title, "$defs": definitions}


def _polish(struct: Schema) -> Schema:
    """Take out our own class names, and describe the word that chooses one of several maps."""
    struct.pop("title", None)
    kind = struct["properties"].get("kind")
    if kind is not None:
        kind["description"] = struct.get("description", "")
    return struct
