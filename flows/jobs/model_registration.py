"""Model registration: what a training leaves in MLflow, from the model's files to its card and pictures."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from daypart.flows.compute.meter import Meter
from daypart.flows.config.portfolio import Unit
from daypart.flows.home import Home
from daypart.flows.jobs import card
from daypart.flows.registry import card_files
from daypart.flows.registry.mlflow_model import mlflow_files
from daypart.flows.registry.runs import RunRecord

if TYPE_CHECKING:
    from daypart.forecasting.lifecycle.gate import Verdict
    from daypart.forecasting.models.model import Model
    from daypart.forecasting.models.trainer import ModelTrainer

EXAMPLE_STORES = 3
"""Stores that are tried for an example of what the model predicts from."""
SEGMENT_FIGURES = ("accuracy_bps", "bias_bps")
MAX_NAME = 100


@dataclass(frozen=True)
class TrainedModel:
    """A model that was just trained and gated, with what made it."""

    unit: Unit
    model: "Model"
    trainer: "ModelTrainer"
    verdict: "Verdict"

    @cached_property
    def scores(self) -> pl.DataFrame | None:
        """Accuracy by segment on the rolling origins (`model_card.segments`); null without any."""
        from daypart.forecasting.explain.model_card import segments

        rows = self.predictions
        return None if rows is None else segments(rows, self.trainer.stores, self.model.target)

    @cached_property
    def predictions(self) -> pl.DataFrame | None:
        """What the model predicts on the rolling origins."""
        return self.trainer.rolling_predictions(self.model)


def register(home: Home, trained: TrainedModel, reads: dict[str, int], meter: Meter) -> int:
    """Record a training and register its model as the unit's next version; return the version's number."""
    unit, model, verdict = trained.unit, trained.model, trained.verdict
    day = model.as_of.isoformat()
    run = home.registry.record(
        RunRecord(
            "train",
            unit.name,
            params={"as_of": day, **model.recipe.model_dump(mode="json")},
            metrics={**model.trained_on, **verdict.figures, **segment_metrics(trained.scores), **meter.figures()},
            reads=reads,
            files=mlflow_files(model, example(trained.trainer, model)),
            curves=member_curves(trained.trainer, model),
            pictures=_pictures(trained),
            description=verdict.reason,
        )
    )
    text = card.new_card(unit.name, trained, reads)
    card_files.write(home.settings, run, text)
    tags = {"unit": unit.name, "tier": unit.tier, "segment": unit.segment or "", "as_of": day, "gate": verdict.reason}
    tags["gate_outcome"] = "passed" if verdict.promote else "refused"
    tags |= {f"read.{table}": str(version) for table, version in reads.items()}
    return home.registry.register(unit.name, run, tags, text)


def segment_metrics(scores: pl.DataFrame | None) -> dict[str, float | None]:
    """Return metrics of segments by name, such as `accuracy_bps/region/North`."""
    if scores is None:
        return {}
    rows = scores.filter(pl.col("by") != "all").to_dicts()
    return {
        f"{figure}/{row['by']}/{_metric_name(row['segment'])}": row[figure]
        for figure in SEGMENT_FIGURES
        for row in rows
    }


def member_curves(trainer: "ModelTrainer", model: "Model") -> dict[str, list[float]]:
    """Return the accuracy of each member by fold, the oldest first, such as `member_accuracy_bps/ratio`.

    Members were refitted as of the fold's date and had not seen its days.
    """
    from daypart.forecasting.metrics.accuracy import wape_bps
    from daypart.forecasting.metrics.expressions import accuracy_bps

    curves: dict[str, list[float]] = {}
    for rows in trainer.fold_evidence(model.as_of):
        for name in model.members:
            wape = wape_bps(rows, name)
            if wape is not None:
                curves.setdefault(f"member_accuracy_bps/{name}", []).append(accuracy_bps(wape))
    return curves


def example(trainer: "ModelTrainer", model: "Model") -> pl.DataFrame:
    """Return the rows from which the model forecasts the first open day of one store; none where no store has any."""
    return next((rows for rows in _examples(trainer, model) if rows.height), pl.DataFrame())


def _examples(trainer: "ModelTrainer", model: "Model") -> Iterator[pl.DataFrame]:
    from daypart.forecasting.serving.publication import ServedModel, block_features

    block = trainer.evidence[0]
    for store_id in block.records.stores["store_id"].sort().head(EXAMPLE_STORES):
        served = replace(ServedModel(model, ""), store_ids=frozenset([store_id]))
        rows = block_features(block, served, model.as_of)
        yield rows.filter(pl.col("date") == pl.col("date").min()) if rows.height else rows


def _pictures(trained: TrainedModel) -> dict[str, bytes]:
    from daypart.flows.report.model_pictures import accuracy_picture

    scores = trained.scores
    return {} if scores is None else {"accuracy.png": accuracy_picture(trained.unit.name, scores)}


def _metric_name(segment: str) -> str:
    """Return a segment's name with the characters that MLflow's metrics may have."""
    return re.sub(r"[^\w \-:]", "_", segment)[:MAX_NAME].strip() or "_"
