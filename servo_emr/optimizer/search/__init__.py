"""The search: which configuration to try next, when to stop, what the best is. No I/O, no clock, no state.

Everything is a function of the observations and a seed, so that whoever asks again is told the same.
"""

from __future__ import annotations

from servo_emr.optimizer.search.engine import Search
from servo_emr.optimizer.search.space import Dimension, Space
from servo_emr.optimizer.search.terms import Best, Objective, Observation, Stop, Suggestion

__all__ = ["Best", "Dimension", "Objective", "Observation", "Search", "Space", "Stop", "Suggestion"]
