import numpy as np

from infra.bench.harness.isolated_job import Work, measure_job


def _holding(mebibytes: int) -> Work:
    buffer = np.ones(mebibytes * 2**17)
    return lambda: {"sum": float(buffer.sum())}


def test_a_job_has_memory_of_its_own() -> None:
    here = np.ones(600 * 2**17)
    small, big = measure_job(_holding, 1), measure_job(_holding, 300)
    assert big.figures == {"sum": 300 * 2**17}
    assert 0.25 < big.peak_gib - small.peak_gib < 0.35
    assert small.peak_gib < here.nbytes / 2**30
