import pytest

from exporter.model.health import Freshness, Health, Wait
from exporter.web.view import Grade, TargetView, grade, worst_ratio
from tests.support.views import a_collector, a_resource, a_target


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (a_target(resources=(a_resource(ratio=0.7499),)), Grade.FINE),
        (a_target(resources=(a_resource(ratio=0.75),)), Grade.YELLOW),
        (a_target(resources=(a_resource(ratio=0.8999),)), Grade.YELLOW),
        (a_target(resources=(a_resource(ratio=0.9),)), Grade.RED),
        (a_target(resources=(a_resource(ratio=None),)), Grade.FINE),
        (
            a_target(
                resources=(),
                collectors=(a_collector(health=Health.NEVER_POLLED, freshness=Freshness.NONE),),
            ),
            Grade.WAITING,
        ),
        (a_target(resources=(), wait=Wait.BACKING_OFF, wait_seconds=60.0), Grade.WAITS),
        (
            a_target(resources=(a_resource(ratio=0.95),), wait=Wait.BACKING_OFF, wait_seconds=60.0),
            Grade.RED,
        ),
        (a_target(collectors=(a_collector(), a_collector("b", health=Health.FAILING))), Grade.DOWN),
        (a_target(resources=(), collectors=()), Grade.WAITING),
    ],
    ids=str,
)
def test_a_target_is_as_bad_as_its_worst_part(target: TargetView, wanted: Grade) -> None:
    assert grade(target) is wanted


def test_the_worst_ratio_is_the_highest_that_is_known() -> None:
    resources = tuple(a_resource(ratio=ratio) for ratio in (0.2, None, 1.4, 0.9))
    assert worst_ratio(a_target(resources=resources)) == 1.4
    assert worst_ratio(a_target(resources=())) == 0.0
