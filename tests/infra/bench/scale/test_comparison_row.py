from infra.bench.harness.isolated_job import JobCost
from infra.bench.scale.comparison_row import Alternative, Limit, Task, compare


def test_a_limit_bounds_ours_and_asks_of_theirs() -> None:
    task, ours, theirs = Task("", ""), JobCost(10, 10, 1.0), JobCost(20, 20, 4.0)
    assert compare(task, Limit(seconds=10, gib=1), ours).reached == "yes"
    assert compare(task, Limit(seconds=9.9), ours).reached == "no"
    assert compare(task, Limit(seconds=20, gib=0.9), ours).reached == "no"
    row = compare(task, Limit(times=2, lean=4), ours, Alternative("other", theirs))
    assert (row.reached, row.ratio, row.memory_ratio) == ("yes", 2.0, 4.0)
    assert compare(task, Limit(times=2.1), ours, Alternative("other", theirs)).reached == "no"
    assert compare(task, Limit(lean=4.1), ours, Alternative("other", theirs)).reached == "no"
    assert compare(task, Limit(times=2), ours, Alternative("other")).reached == "other is not installed"
