"""Configurations with every key of `emr.cluster`: one of instance groups, one of fleets."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["FLEETS", "FORTY", "WHOLE"]

_COMMON = """
region: us-east-1
workspace: s3://acme-servo/nightly-etl
job: {notebook: s3://acme-notebooks/etl.ipynb}
"""

WHOLE: dict[str, Any] = yaml.safe_load(
    _COMMON
    + """
cluster:
  release_label: emr-7.1.0
  applications: [Spark, Hive]
  configurations:
    - classification: spark-defaults
      properties: {spark.sql.shuffle.partitions: 200, spark.dynamicAllocation.enabled: false}
    - classification: spark-env
      configurations: [{classification: export, properties: {PYSPARK_PYTHON: /usr/bin/python3}}]
  bootstrap_actions: [{name: certificates, path: s3://acme-servo/certificates.sh, args: [--all, "a b"]}]
  subnet_ids: [subnet-a]
  key_pair: me
  security_groups:
    primary: sg-1
    core_and_task: sg-2
    service_access: sg-3
    additional_primary: [sg-4]
    additional_core_and_task: [sg-5, sg-6]
  security_configuration: tls
  log_uri: s3://acme-servo/nightly-etl/logs
  log_kms_key: arn:aws:kms:us-east-1:123456789012:key/1
  ami_id: ami-0123456789abcdef1
  os_release_label: 2.0.20230727.0
  repo_upgrade_on_boot: none
  root_volume: {size: 30, iops: 3500, throughput: 200}
  step_concurrency: 2
  unhealthy_node_replacement: false
  tags: {team: data}
  core:
    market: spot
    bid_price: 0.15
    ebs: [{type: gp3, size: 64, iops: 4000, throughput: 250, count: 2}]
    ebs_optimized: true
    ami_id: ami-0123456789abcdef0
    configurations: [{classification: yarn-site, properties: {yarn.nodemanager.vmem-check-enabled: false}}]
components:
  primary: {inst_type: {values: [m5.xlarge], value: m5.xlarge, pinned: true}}
  core:
    inst_type: {values: [m5.xlarge, c5.xlarge], value: m5.xlarge}
    replicas: {min: 2, max: 12, value: 4}
"""
)

FLEETS: dict[str, Any] = yaml.safe_load(
    _COMMON
    + """
cluster:
  release_label: emr-7.1.0
  subnet_ids: [subnet-a, subnet-b]
  primary: {fleet: {on_demand_allocation: lowest-price}}
  core:
    market: spot
    bid_price: 0.15
    ebs: [{type: io1, size: 100, iops: 1000}, {type: gp3, size: 64, throughput: 125}]
    ebs_optimized: true
    ami_id: ami-0123456789abcdef0
    configurations: [{classification: yarn-site, properties: {yarn.nodemanager.vmem-check-enabled: false}}]
    fleet:
      alternatives: [m5.2xlarge, r5.xlarge]
      types:
        m5.xlarge: {bid_price: 0.12, priority: 0}
        m5.2xlarge: {weight: 2, bid_percent: 80, priority: 1}
      on_demand: 1
      spot_timeout: 10m
      timeout_action: switch-to-on-demand
      spot_allocation: capacity-optimized-prioritized
      on_demand_allocation: prioritized
      reservations: {usage: use-capacity-reservations-first, preference: open, resource_group_arn: "arn:aws:x"}
components:
  primary: {inst_type: {values: [m5.xlarge], value: m5.xlarge, pinned: true}}
  core:
    inst_type: {values: [m5.xlarge], value: m5.xlarge}
    replicas: {min: 2, max: 12, value: 4}
"""
)

_FORTY = {
    "primary": {"inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge", "pinned": True}},
    "core": {
        "inst_type": {"values": ["m5.xlarge", "c5.xlarge", "r5.xlarge"], "value": "m5.xlarge"},
        "replicas": {"min": 1, "max": 12, "value": 1},
        "market": {"values": ["spot", "on-demand"], "value": "on-demand"},
        "ebs_size": {"min": 32, "max": 128, "step": 32, "value": 32, "target": "cluster.core.ebs[0].size"},
    },
    "spark": {
        "shuffle_partitions": {
            "min": 10, "max": 400, "step": 10, "value": 20,
            "target": "configurations.spark-defaults[spark.sql.shuffle.partitions]",
        },
        **{
            f"p{n}": {"min": 1, "max": 9, "value": 5, "target": f"configurations.spark-defaults[spark.acme.p{n}]"}
            for n in range(19)
        },
    },
    "job": {
        f"a{n}": {"values": [1, 2, 3], "value": 2, "target": f"job.parameters.a{n}"} for n in range(13)
    },
    "cluster": {
        "root": {"min": 20, "max": 100, "step": 10, "value": 20, "target": "cluster.root_volume.size"},
        "release": {"values": ["emr-7.1.0", "emr-7.2.0"], "value": "emr-7.1.0", "target": "cluster.release_label"},
    },
}  # fmt: skip

FORTY: dict[str, Any] = {
    **yaml.safe_load(_COMMON),
    "cluster": {"release_label": "emr-7.1.0", "core": {"ebs": [{"type": "gp3", "size": 32}]}},
    "components": _FORTY,
}
"""40 adjustable settings: of nodes, of Spark, of the job, of the cluster."""
