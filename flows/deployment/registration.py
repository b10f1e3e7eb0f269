"""Registers deployments with a Prefect server: what runs when."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

Change = Literal["made", "changed", "unchanged"]


@dataclass(frozen=True)
class DeploymentStatus:
    """One deployment on the server, whether it changed, and its schedule."""

    name: str
    change: Change
    cron: str | None
    timezone: str | None


def deploy(client: "SyncPrefectClient", declared: Sequence[dict[str, Any]]) -> list[DeploymentStatus]:
    """Create or update the server's deployments, their triggers and their work pools as declared.

    A deployment whose declaration has not changed is left alone, with what people changed in it since, such as a
    paused schedule. An existing pool is left as it is.
    """
    for pool in dict.fromkeys(deployment["work_pool"]["name"] for deployment in declared):
        _ensure_pool(client, pool)
    return [_deploy_one(client, deployment) for deployment in declared]


def _ensure_pool(client: "SyncPrefectClient", name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def _deploy_one(client: "SyncPrefectClient", declared: dict[str, Any]) -> DeploymentStatus:
    from daypart.flows.deployment import deployment_flows

    flow = getattr(deployment_flows, declared["entrypoint"].rpartition(".")[2])
    name = f"{flow.name}/{declared['name']}"
    version = hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:12]
    current = _read_deployment(client, name)
    change: Change = "changed" if current else "made"
    if (
        current
        and current.version == version
        and _count_triggers(client, current.id) == len(declared.get("triggers", ()))
    ):
        change = "unchanged"
    else:
        _apply(flow, declared, version)
    schedule = declared["schedules"][0] if declared["schedules"] else {}
    return DeploymentStatus(name, change, schedule.get("cron"), schedule.get("timezone"))


def _read_deployment(client: "SyncPrefectClient", name: str) -> Any:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _count_triggers(client: "SyncPrefectClient", deployment_id: object) -> int:
    return len(client.read_resource_related_automations(f"prefect.deployment.{deployment_id}"))


def _apply(flow: Any, declared: dict[str, Any], version: str) -> None:
    """Write the deployment, then its triggers, which replace those it had."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.events import DeploymentEventTrigger
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    deployment = flow.to_deployment(
        name=declared["name"],
        description=declared["description"],
        tags=declared["tags"],
        version=version,
        parameters=declared["parameters"],
        schedules=[Cron(schedule["cron"], timezone=schedule["timezone"]) for schedule in declared["schedules"]],
        concurrency_limit=ConcurrencyLimitConfig(**declared["concurrency_limit"]),
        triggers=[DeploymentEventTrigger(**trigger) for trigger in declared.get("triggers", ())],
        work_pool_name=declared["work_pool"]["name"],
        job_variables=declared["work_pool"]["job_variables"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()
