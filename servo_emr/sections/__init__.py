"""The parts of the `emr:` section of servo.yaml, each a model with its own rules.

Unknown keys are errors that name the nearest known one, and a key exists only once it works.
"""

from servo_emr.sections.base import S3_URI, known_keys
from servo_emr.sections.cluster import ClusterSection
from servo_emr.sections.components import ComponentsSection
from servo_emr.sections.groups import all_settings, check_nodes, node_groups
from servo_emr.sections.job import JobSection
from servo_emr.sections.limits import LimitsSection, PricesSection
from servo_emr.sections.settings import check_settings
from servo_emr.sections.stages import check_stages, job_steps, referring

__all__ = [
    "S3_URI",
    "ClusterSection",
    "ComponentsSection",
    "JobSection",
    "LimitsSection",
    "PricesSection",
    "all_settings",
    "check_nodes",
    "check_settings",
    "check_stages",
    "job_steps",
    "known_keys",
    "node_groups",
    "referring",
]
