"""Readiness checks over the ports: what keeps a configuration from running is found before money is spent.

Asks and judges; launches nothing, and writes nothing but the workspace's own check.json. Knows no AWS document; how
servox and the terminal show the answers is said in `servox` and in the commands.
"""

from servo_emr.checks.every import check_all
from servo_emr.checks.result import Checked, Outcome

__all__ = ["Checked", "Outcome", "check_all"]
