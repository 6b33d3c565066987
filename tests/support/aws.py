"""The emulator as a person sees it from outside: boto3, and nothing of ours in between."""

from __future__ import annotations

import json
from typing import Any

import boto3

from tests.support.emulator import EmulatorProcess

__all__ = ["Account"]


class Account:
    """The emulated account. Clients are made when first asked for; `close` ends their connections."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._url = emulator.url
        self._clients: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        """The boto3 client of a service."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self._url,
                region_name="us-east-1",
                aws_access_key_id="tester",
                aws_secret_access_key="tester",
            )
        return self._clients[service]

    def read(self, uri: str) -> bytes:
        """The body of an s3:// object."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self["s3"].get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, uri: str) -> list[str]:
        """The keys below an s3:// prefix, relative to it."""
        bucket, _, prefix = uri.removeprefix("s3://").rstrip("/").partition("/")
        answer = self["s3"].list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
        return sorted(item["Key"].removeprefix(f"{prefix}/") for item in answer.get("Contents", ()))

    def record(self, workspace: str, run_id: str) -> dict[str, Any]:
        """The record of a run, from where the documentation says it is."""
        day = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}"
        body = self.read(f"{workspace}/records/dt={day}/{run_id}.json")
        assert body.count(b"\n") == 1, "a record is one line of JSON"
        document: dict[str, Any] = json.loads(body)
        return document

    def clusters(self) -> list[dict[str, Any]]:
        """All clusters that there ever were, the newest first."""
        pages = self["emr"].get_paginator("list_clusters").paginate()
        return [cluster for page in pages for cluster in page["Clusters"]]

    def alive(self) -> list[str]:
        """The ids of clusters that have not ended."""
        ended = ("TERMINATED", "TERMINATED_WITH_ERRORS")
        return [cluster["Id"] for cluster in self.clusters() if cluster["Status"]["State"] not in ended]

    def step(self, cluster_id: str) -> dict[str, Any]:
        """The one step of a cluster."""
        (step,) = self["emr"].list_steps(ClusterId=cluster_id)["Steps"]
        return dict(step)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
