"""Prefect: flows, schedules, the local server and its worker.

Start with `tasks` (jobs as Prefect tasks) and `deployment_flows`; `schedule` lists the deployments.
"""
