"""The only policy: when to launch, look, wait, stop and believe. Sees `domain` alone.

In the order of a run's life: stage, guards, measure, watch, verdict, release.
"""
