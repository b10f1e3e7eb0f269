"""Policies: when a champion is retrained, and what a challenger must show to serve."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Policy(BaseModel):
    """The thresholds of retraining and promotion; the same policy, data and seed give the same decisions.

    A retrain is `triggered` by evidence (and, where `every_days` is given, by age), `scheduled` by age alone, or
    `never` made. Evidence counts where it is at least `slip_bps` of WAPE and where its lower bound at `confidence`
    is above 0, on the last `window_days`. Within `cooldown_days` of a training, or after `retrains_a_year` of them,
    nothing is triggered.

    A challenger serves if the lower bound, at `gate_confidence`, of its gain over the champion is above `gain_bps`, no
    segment is worse by more than `worse_bps`, its bias is within `bias_bps` and its 80% band covers `coverage_low`
    to `coverage_high` of actuals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    retrain: Literal["never", "scheduled", "triggered"] = "triggered"
    every_days: int | None = Field(None, ge=1, le=3_660)
    slip_bps: float = Field(20.0, ge=0)
    window_days: int = Field(7, ge=4, le=28)
    confidence: float = Field(0.999, gt=0.5, lt=1)
    cooldown_days: int = Field(14, ge=0, le=3_660)
    retrains_a_year: int = Field(12, ge=0)

    gain_bps: float = 0.0
    gate_confidence: float = Field(0.96, gt=0.5, lt=1)
    worse_bps: float = Field(100.0, ge=0)
    bias_bps: float = Field(500.0, ge=0)
    coverage_low: float = Field(0.70, ge=0, le=1)
    coverage_high: float = Field(0.90, ge=0, le=1)

    @model_validator(mode="after")
    def _has_days(self) -> Self:
        if self.retrain == "scheduled" and self.every_days is None:
            raise ValueError("a scheduled retrain needs every_days, such as every_days = 7")
        return self


NEVER = Policy(retrain="never")
WEEKLY = Policy(retrain="scheduled", every_days=7)
TRIGGERED = Policy()
BUILT_IN = {"never": NEVER, "weekly": WEEKLY, "triggered": TRIGGERED}
"""Policies by the name that they are known by."""
