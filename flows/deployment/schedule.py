"""Deployments: what runs when, by itself, in the words of Prefect's own `prefect.yaml`."""

from typing import Any

import polars as pl

from daypart.flows.config.settings import Settings
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.retrain_event import EVENT, RESOURCE

APP_NAME = "daypart"
"""Of every deployment, after its flow's name, and of the work pool."""
USUAL_ZONE = "America/New_York"
NIGHTLY, NOON, WEEKLY, UPKEEP = "30 4 * * *", "30 12 * * *", "0 6 * * 0", "0 8 * * 0"
"""Minute, hour, day, month, weekday. No clock skips or repeats these hours, as it does those from 0 to 3."""


def zone(settings: Settings, lake: Lake) -> str:
    """The time zone of the schedules: the settings', or else that of most stores, or else that of New York."""
    if settings.timezone is not None:
        return settings.timezone
    zones = lake.scan_or_empty("stores").group_by("timezone").len().collect()
    ranked_zones = zones.drop_nulls().sort(pl.col("len"), "timezone", descending=[True, False])
    return str(ranked_zones["timezone"][0]) if ranked_zones.height else USUAL_ZONE


def deployments(home: str, timezone: str, pool: str) -> list[dict[str, Any]]:
    """Every deployment of a home: its flow, when it runs in `timezone`, and what of it may run at once.

    A retrain waits for the one before it. Of the others a second run is left out while one is under way: it would
    do the same again.
    """

    def deployment(flow: str, about: str, cron: str | None, strategy: str, **more: Any) -> dict[str, Any]:
        return {
            **{
                "name": APP_NAME,
                "description": about,
                "entrypoint": f"daypart.flows.deployment.deployment_flows.{flow}",
                "tags": [APP_NAME],
            },
            "parameters": {"home": home, **more.pop("parameters", {})},
            "schedules": [{"cron": cron, "timezone": timezone}] if cron else [],
            "concurrency_limit": {"limit": 1, "collision_strategy": strategy},
            "work_pool": {"name": pool, "job_variables": {"env": ENVIRONMENT}},
            **more,
        }

    return [
        deployment("nightly", "Publish the night's forecast, then score and decide.", NIGHTLY, "CANCEL_NEW"),
        deployment("monitor", "Score what came late and decide.", NOON, "CANCEL_NEW"),
        deployment("retrain", "Train, gate, promote what was decided.", None, "ENQUEUE", triggers=[_on_decision(home)]),
        deployment("tuning", "Propose settings.", WEEKLY, "CANCEL_NEW", parameters={"tier": "standard"}),
        deployment("maintain", "Compact tables, remove what no rule keeps.", UPKEEP, "CANCEL_NEW"),
    ]


ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


def _on_decision(home: str) -> dict[str, Any]:
    """One retrain for every announcement of this home, with its units and reason."""
    return {
        **{"type": "event", "name": "daypart retrain", "posture": "Reactive", "expect": [EVENT]},
        "match": {"prefect.resource.id": RESOURCE, "daypart.home": home},
        "parameters": {"units": "{{ event.payload.units }}", "reason": "{{ event.payload.reason }}"},
    }
