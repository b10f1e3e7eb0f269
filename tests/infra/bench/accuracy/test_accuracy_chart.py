from pathlib import Path

import polars as pl

from infra.bench.accuracy.accuracy_chart import chart_points, draw, markdown
from infra.bench.accuracy.method_score import INCUMBENT, OURS, Score


def test_the_picture_and_the_table_tell_every_figure(tmp_path: Path) -> None:
    rows = [
        Score("chain", "orders", OURS, hour_wape_bps=2000, day_wape_bps=1000, hour_gain_bps=500, day_gain_bps=-20),
        Score("chain", "orders", OURS, "observed", 1800, 1500, 900, 700, 80),
        Score("chain", "orders", INCUMBENT, hour_wape_bps=2500, day_wape_bps=980, hour_gain_bps=0, day_gain_bps=0),
        Score("chain", "orders", "mlforecast", note="failed: no memory"),
    ]
    assert chart_points(rows).filter(pl.col("level") == "By the day")["bps"].to_list() == [1000, 900, 980]
    draw(rows, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accuracy.png", "accuracy.svg"]
    picture = (tmp_path / "accuracy.svg").read_text()
    for name in ("weather in hindsight", "incumbent", "chain, orders", "By the day"):
        assert name in picture
    lines = markdown(rows).splitlines()
    assert lines[2].startswith("| chain, orders | daypart | 2,000 | 1,000 | +500 | -20 |")
    assert "failed: no memory" in lines[5]
    assert len({line.count("|") for line in lines}) == 1
