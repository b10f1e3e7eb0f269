"""Deploy: tells a Prefect server what is to run when."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

Change = Literal["made", "changed", "unchanged"]


@dataclass(frozen=True)
class Deployed:
    """One deployment as it now stands, and whether that is new."""

    name: str
    change: Change
    cron: str | None
    timezone: str | None


def deploy(client: "SyncPrefectClient", declared: Sequence[dict[str, Any]]) -> list[Deployed]:
    """Makes the server's deployments, their triggers and their work pool be as declared.

    What was declared so before is left alone, with what people changed in it since, such as a schedule that they
    paused; a pool that is there is left as it is.
    """
    for pool in dict.fromkeys(deployment["work_pool"]["name"] for deployment in declared):
        _pool(client, pool)
    return [_deploy_one(client, deployment) for deployment in declared]


def _pool(client: "SyncPrefectClient", name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def _deploy_one(client: "SyncPrefectClient", declared: dict[str, Any]) -> Deployed:
    from daypart.flows.deployment import deployment_flows

    flow = getattr(deployment_flows, declared["entrypoint"].rpartition(".")[2])
    name = f"{flow.name}/{declared['name']}"
    version = hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:12]
    before = _found(client, name)
    change: Change = "changed" if before else "made"
    if before and before.version == version and _triggers(client, before.id) == len(declared.get("triggers", ())):
        change = "unchanged"
    else:
        _apply(flow, declared, version)
    when = declared["schedules"][0] if declared["schedules"] else {}
    return Deployed(name, change, when.get("cron"), when.get("timezone"))


def _found(client: "SyncPrefectClient", name: str) -> Any:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _triggers(client: "SyncPrefectClient", deployment_id: object) -> int:
    return len(client.read_resource_related_automations(f"prefect.deployment.{deployment_id}"))


def _apply(flow: Any, declared: dict[str, Any], version: str) -> None:
    """Writes the deployment, then its triggers in place of those it had."""
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
