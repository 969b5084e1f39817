"""How the daemon is run: what the command line says and no reload changes."""

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``listen`` are addresses as written; ``revision`` and ``branch`` label the build.

    ``route_prefix`` is "" or as ``/usage``; ``external_url`` has no slash at its end.
    """

    listen: tuple[str, ...]
    web_config_file: str = ""
    telemetry_path: str = "/metrics"
    route_prefix: str = ""
    external_url: str = ""
    most_connections: int = 512
    lifecycle: bool = False
    exporter_metrics: bool = True
    auto_reload: bool = False
    log_level: str = "info"
    log_format: str = "logfmt"
    revision: str = ""
    branch: str = ""
