import pytest

from exporter.kernel.units import snake


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("apiCalls", "api_calls"),
        ("API Calls", "api_calls"),
        ("compute-hours", "compute_hours"),
        ("GBHours", "gb_hours"),
        ("bandwidth", "bandwidth"),
        ("BANDWIDTH", "bandwidth"),
        ("already_snake", "already_snake"),
        ("CPUs", "cpus"),
        ("GBsUsed", "gbs_used"),
        ("useAsDefault", "use_as_default"),
        ("isAUser", "is_a_user"),
        ("gpt4Turbo", "gpt4_turbo"),
        ("gpt-4o (2024)", "gpt_4o_2024"),
        ("2fa", "_2fa"),
        ("_2fa", "_2fa"),
        ("  Crédits / mois ", "credits_mois"),
        ("data.metrics.used", "data_metrics_used"),
        ("日本", "_"),
        ("", "_"),
        ("---", "_"),
        ("٣", "_"),
    ],
)
def test_a_vendors_name_becomes_a_metric_name(text: str, name: str) -> None:
    assert snake(text) == name
