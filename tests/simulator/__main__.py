"""Run seeds, tell one's story, hunt bugs, search a model: ``sh deploy/simulate``."""

import argparse
import logging
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import NamedTuple

from protocol.peer.clock import Clock
from tests.simulator import (
    model,
    planted_cycles,
    planted_distrust,
    planted_hunted,
    planted_keys,
    planted_later,
    planted_ledger,
    planted_lives,
    shrink,
    swarm,
)
from tests.simulator.figures import Figures
from tests.simulator.planted import BUGS, planted
from tests.simulator.swarm import Result

assert planted_cycles and planted_distrust, "their import plants more bugs"
assert planted_hunted and planted_lives, "their import plants more bugs"
assert planted_keys and planted_later, "their import plants more bugs"
assert planted_ledger, "its import plants more bugs"
_BAR = 30
_clock = Clock()


class Hunt(NamedTuple):
    """How a planted bug was found, if it was.

    Attributes:
        seeds: how many, from the first on, it took.
        tried: how many of these were played: none that cannot find it.
    """

    bug: str
    seeds: int
    tried: int
    seconds: float
    failure: str


def play(seed: int) -> Result:
    """Run one seed, quietly."""
    logging.disable(logging.CRITICAL)
    return swarm.run(seed)


def hunt(bug: str, first: int, seeds_max: int) -> Hunt:
    """Run seeds with a planted bug until one finds it."""
    logging.disable(logging.CRITICAL)
    began, tried = _clock.monotonic_s(), 0
    for done in range(seeds_max):
        if not BUGS[bug].may_find(first + done):
            continue
        tried += 1
        with planted(bug):
            failure = swarm.run(first + done).failure
        # What fails without the bug, too, has not found it.
        if failure and not swarm.run(first + done).failure:
            return Hunt(bug, done + 1, tried, _clock.monotonic_s() - began, failure)
    return Hunt(bug, seeds_max, tried, _clock.monotonic_s() - began, "")


def _progress(done: float, told: str) -> None:
    """Draw the bar again."""
    if sys.stderr.isatty():
        full = round(min(1.0, done) * _BAR)
        bar = "#" * full + "." * (_BAR - full)
        sys.stderr.write(f"\r[{bar}] {done:4.0%} {told:<40}")
        sys.stderr.flush()


def _results(given: argparse.Namespace) -> Iterator[Result]:
    """Run seeds in several processes, in the order in which they end."""
    began = _clock.monotonic_s()
    seed, done = given.first, 0
    running: set[Future[Result]] = set()

    def is_over() -> bool:
        if given.minutes:
            return _clock.monotonic_s() - began > given.minutes * 60
        return seed >= given.first + given.seeds

    with ProcessPoolExecutor(given.processes) as pool:
        while running or not is_over():
            while len(running) < 2 * given.processes and not is_over():
                running.add(pool.submit(play, seed))
                seed += 1
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                done += 1
                share = done / given.seeds
                if given.minutes:
                    share = (_clock.monotonic_s() - began) / given.minutes / 60
                _progress(share, f"{done} seeds")
                yield future.result()


def run_seeds(given: argparse.Namespace) -> int:
    """Run many seeds; gives the exit code."""
    began = _clock.monotonic_s()
    figures = Figures()
    failed: list[Result] = []
    for result in _results(given):
        figures.add(result)
        if result.failure:
            failed.append(result)
            print(f"\nseed {result.seed}: {result.failure}")
    print()
    print("\n".join(figures.lines(_clock.monotonic_s() - began)))
    for result in failed:
        print(f"FAILED: sh deploy/simulate --seed {result.seed} --story")
    return 1 if failed else 0


def shorten(given: argparse.Namespace) -> int:
    """Shrink a seed that fails, and print the story; gives the exit code."""
    logging.disable(logging.CRITICAL)
    with planted(given.bug):
        failure, script = shrink.shrink(
            given.seed,
            lambda tries, lines: _progress(0, f"{tries} tries, {lines} lines"),
        )
    if not failure:
        print(f"seed {given.seed}: all promises were kept")
        return 0
    print(f"\nseed {given.seed}: {failure}")
    if script is None:
        print("its script alone breaks something else: see --story")
    else:
        print(textwrap.indent(script.text(), "    "))
    return 1


def tell(given: argparse.Namespace) -> int:
    """Run one seed and tell its story; gives the exit code."""
    logging.disable(logging.CRITICAL)
    with planted(given.bug):
        result = swarm.run(given.seed, is_told=given.story)
    if given.story:
        print("\n".join(result.lines))
    print(f"seed {given.seed}: {result.failure or 'all promises were kept'}")
    return 1 if result.failure else 0


def hunt_all(given: argparse.Namespace) -> int:
    """Hunt every planted bug; gives the exit code."""
    names = [given.bug] if given.bug else list(BUGS)
    hidden = 0
    print(f"{'planted bug':<28} {'seeds':>6} {'tried':>6} {'seconds':>8}  found by")
    with ProcessPoolExecutor(given.processes) as pool:
        hunts = [pool.submit(hunt, name, given.first, given.seeds) for name in names]
        for done, future in enumerate(hunts):
            found = future.result()
            _progress((done + 1) / len(names), found.bug)
            told = found.failure or "NOT FOUND"
            hidden += not found.failure
            print(
                f"{found.bug:<28} {found.seeds:>6} {found.tried:>6}"
                f" {found.seconds:>8.1f}  {told[:90]}"
            )
    print(f"{len(names) - hidden} of {len(names)} planted bugs were found")
    return 1 if hidden else 0


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="deploy/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many (300)")
    parser.add_argument("--minutes", type=float, help="run for so long instead")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--story", action="store_true", help="tell what happens in it")
    parser.add_argument("--shrink", action="store_true", help="cut it to a story")
    parser.add_argument("--planted", action="store_true", help="hunt planted bugs")
    parser.add_argument("--bug", default="", choices=["", *BUGS], help="plant this one")
    parser.add_argument("--processes", type=int, default=2, help="at once (2)")
    parser.add_argument(
        "--exhaustive", type=int, metavar="DEPTH", help="search a small model, so deep"
    )
    parser.add_argument(
        "--failures", type=int, default=1, help="of power, in that search (1)"
    )
    given = parser.parse_args()
    if given.exhaustive is not None:
        return model.report(given.exhaustive, given.failures)
    if given.seed is not None:
        return shorten(given) if given.shrink else tell(given)
    return hunt_all(given) if given.planted else run_seeds(given)


if __name__ == "__main__":
    sys.exit(main())
