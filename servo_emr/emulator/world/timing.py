"""How long the phases around the steps take on W. Constants only; each says where it comes from.

No figure here is AWS's promise. How long steps take is `durations`' business.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Provisioning"]


@dataclass(frozen=True)
class Provisioning:
    """Seconds of the phases around the steps.

    From the example outputs in the AWS command line's own documentation: a cluster of groups took 418.6 s from
    creation to ready, its first instance row appeared 22.5 s after the cluster, and instances were ready between
    5 and 16 s before it. How those seconds split between EC2 and the installation of applications is not
    documented: the split is ours. Ending takes "1 to 5 minutes" by the documentation of TerminateJobFlows.
    Logs are pushed every 5 minutes. The others are ours: a cancelled step ends 5 s later, or 10 s when it is asked
    by a signal rather than killed; a node that a resize removes is drained for a minute; a reconfiguration restarts
    the applications of a group, a minute and a half; what AWS refuses late it refuses after two minutes and a half.
    """

    instances_appear: float = 22.0
    instances_up: float = 300.0  # from creation to BOOTSTRAPPING
    install_applications: float = 120.0  # from the last bootstrap action to ready
    instance_leads_ready: tuple[float, float] = (5.0, 16.0)
    refusal: float = 150.0
    ending: float = 60.0
    log_delay: float = 300.0
    cancel_delay: float = 5.0
    interrupt_delay: float = 10.0
    draining: float = 60.0
    reconfiguring: float = 90.0
    spread: float = 0.05  # each phase is up to this share longer or shorter, by cluster id
