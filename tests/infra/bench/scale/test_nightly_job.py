import pytest

from infra.bench.scale.nightly_job import growth_exponent


def test_the_exponent_of_a_power_is_found() -> None:
    assert growth_exponent([(size, 3.0 * size**1.2) for size in (2, 5, 11)]) == pytest.approx(1.2)
