"""Other searches, to compare with: chance, Optuna's samplers, CherryPick's Gaussian process. Knows none of ours."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import optuna
from replayed import Job, Tally
from scipy.stats import norm

from servo_emr.optimizer.instances import packaged

HAS_TORCH = importlib.util.find_spec("torch") is not None
"""What Optuna's GPSampler needs, and this project does not install."""


def at_random(job: Job, seed: int) -> Tally:
    tally = Tally(job)
    for number in np.random.default_rng(seed).permutation(len(job.clusters)):
        tally.add(int(number))
    return tally


def by_optuna(job: Job, seed: int, sampler: Callable[[int], optuna.samplers.BaseSampler]) -> Tally:
    """Type, then the count among those that there are of this type; log of cost; a failure counts twice its cost.

    A cluster that it asks for again is told at once and not counted; then it is given a new one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # here, since it is of the process: this is a worker's
    study, chance = optuna.create_study(sampler=sampler(seed)), np.random.default_rng(seed)
    counts: dict[str, list[int]] = {}
    for kind, count in job.clusters:
        counts.setdefault(kind, []).append(count)
    tally, again = Tally(job), False
    while not tally.over:
        if again:
            kind, count = job.clusters[int(chance.choice(tally.left))]
            study.enqueue_trial({"type": kind, f"nodes of {kind}": counts[kind].index(count)})
        trial = study.ask()
        kind = trial.suggest_categorical("type", list(counts))
        count = counts[kind][trial.suggest_int(f"nodes of {kind}", 0, len(counts[kind]) - 1)]
        number = job.clusters.index((kind, count))
        study.tell(trial, math.log(job.usd(number) * (1.0 if job.ok[number] else 2.0)))
        again = number in tally.order
        if not again:
            tally.add(number)
    return tally


def cherrypick(job: Job, seed: int) -> Tally:
    """A Gaussian process on cost over vCPUs, memory, nodes and their ratios, as CherryPick has it.

    Matern 5/2, length and noise of the greatest likelihood; three random points, then by expected improvement.
    """
    sizes = [(packaged()[kind].vcpus, packaged()[kind].memory_gib, count) for kind, count in job.clusters]
    raw = np.array([[cpu * n, gib * n, cpu, gib / cpu, n] for cpu, gib, n in sizes], dtype=float)
    points = (raw - raw.mean(0)) / (raw.std(0) + 1e-12)
    apart = np.sqrt(5.0 * ((points[:, None] - points[None]) ** 2).sum(2))
    lengths, noises = np.repeat([0.5, 1.0, 2.0, 4.0, 8.0], 3), np.tile([1e-3, 1e-2, 1e-1], 5)
    scaled = apart[None] / lengths[:, None, None]
    kernels = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    tally = Tally(job)
    for number in np.random.default_rng(seed).permutation(len(points))[:3]:
        tally.add(int(number))
    while not tally.over and tally.left:
        known = [number for number in tally.order if job.ok[number]]
        cost = np.array([job.usd(number) for number in known])
        if len(known) < 2:
            tally.add(tally.left[0])
            continue
        told = (cost - cost.mean()) / (cost.std() + 1e-12)
        inner = kernels[:, known][:, :, known] + noises[:, None, None] * np.eye(len(known))
        factor = np.linalg.cholesky(inner)
        aligned = np.linalg.solve(factor, np.broadcast_to(told[:, None], (len(lengths), len(known), 1)))[:, :, 0]
        likelihood = -0.5 * (aligned**2).sum(1) - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
        chosen = int(np.argmax(likelihood))
        across = np.linalg.solve(factor[chosen], kernels[chosen][known][:, tally.left])
        mean, deviation = aligned[chosen] @ across, np.sqrt(np.maximum(1.0 - (across**2).sum(0), 1e-9))
        z = (told.min() - mean) / deviation
        tally.add(tally.left[int(np.argmax(deviation * (z * norm.cdf(z) + norm.pdf(z))))])
    return tally


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


def rivals() -> dict[str, Callable[[Job, int], Tally]]:
    """All of them, by name; called with a job and a seed."""
    found: dict[str, Callable[[Job, int], Tally]] = {
        "random": at_random,
        "tpe": partial(by_optuna, sampler=tpe),
        "cherrypick": cherrypick,
    }
    return {**found, "gpsampler": partial(by_optuna, sampler=gp)} if HAS_TORCH else found
