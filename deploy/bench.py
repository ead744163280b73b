"""How fast a federation on this machine is, beside pgbench on the same server.

Everything goes through real nodes and a real hub: signed, sealed, durable in
three ledgers. Each round runs pgbench TPC-B first, so that a noisy machine is
noisy for both: ratios count, not rates. Prints a table, or JSON with --json.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import demo
from servers import Api, DemoError, data_folder, new_password, only_one

#: Payers and payees of the load, beside the demo's own members.
MEMBERS = 32
LIMIT_HOURS = 20_000_000
PGBENCH_S = 5
IN_FLIGHT = 256
ORDERS_A_REQUEST = 100
TICKS = os.sysconf("SC_CLK_TCK")
#: Settings of the database that production needs; without them nothing is measured.
PRODUCTION = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}

Measure = Callable[["Bench", int], Awaitable[list[float]]]


def members_of(group: str) -> tuple[dict[str, str], str]:
    """Members without limits; the first of them play the demo's parts."""
    names = {"oostende": ["marie", "lies"], "mechelen": ["bob", "an"]}.get(group, [])
    names += [f"{group[0]}{number}" for number in range(MEMBERS)]
    people = {name: new_password() for name in names}
    lines = ["account,name,password,floor,ceiling"]
    lines += [f"{name},Member {name},{word},," for name, word in people.items()]
    return people, "\n".join(lines) + "\n"


class Bench:
    """The servers under load."""

    def __init__(self, data: Path) -> None:
        for group, told in demo.GROUPS.items():
            demo.GROUPS[group] = (*told[:4], -LIMIT_HOURS, LIMIT_HOURS)
        demo.members_of = members_of
        self.data = data
        self.federation = demo.Federation(data)
        self.url = self.federation.nodes["oostende"].url
        self.session: aiohttp.ClientSession | None = None
        self.tokens: list[str] = []
        self._key = time.time_ns()
        self._postmaster = 0
        self._pgbench: list[str] = []
        self._environment: dict[str, str] = {}

    def start(self) -> dict[str, str]:
        """Start the federation and pgbench's tables; gives the server's settings."""
        self.federation.start()
        folder = self.data / "postgres"
        pid_file = next(folder.glob("*/postmaster.pid"))
        told = pid_file.read_text().split("\n")
        self._postmaster = int(told[0])
        database = self.federation.postgres.create("bench")
        url, programs = database["url"], self.federation.postgres.programs()
        password = Path(database["password_file"]).read_text().strip()
        self._environment = {"PGPASSWORD": password, "PATH": os.environ["PATH"]}
        self._pgbench = [str(programs / "pgbench"), url]
        self._run(*self._pgbench, "-i", "-s", "20", "-q")
        shown = {}
        for name in PRODUCTION:
            sql = f"SHOW {name}"
            shown[name] = self._run(str(programs / "psql"), "-AtX", "-c", sql, url)
        wrong = {name: shown[name] for name in PRODUCTION if shown[name] != "on"}
        if wrong:
            raise DemoError(f"not production settings, so nothing is measured: {wrong}")
        shown["server_version"] = self._run(
            str(programs / "psql"), "-AtX", "-c", "SHOW server_version", url
        )
        return shown

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            arguments,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"{arguments[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def tpcb(self, clients: int) -> tuple[float, float]:
        """Run pgbench TPC-B; gives transactions a second and mean latency, ms."""
        told = self._run(
            *self._pgbench,
            *("-c", str(clients), "-j", "2", "-T", str(PGBENCH_S), "-M", "prepared"),
        )
        rate = re.search(r"tps = ([0-9.]+)", told)
        latency = re.search(r"latency average = ([0-9.]+) ms", told)
        assert rate and latency
        return float(rate[1]), float(latency[1])

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by server, and of all of PostgreSQL's processes."""
        spent = {
            server.name: cpu_of(server.process.pid)
            for server in self.federation.servers
        }
        tasks = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children")
        children = [int(pid) for pid in tasks.read_text().split()]
        spent["postgresql"] = sum(map(cpu_of, [self._postmaster, *children]))
        return spent

    def commits(self) -> dict[str, float]:
        """Commits so far, by server."""
        return {
            server.name: metric(server.url, "interlets_commits_total")
            for server in self.federation.servers
        }

    async def sign_in(self) -> None:
        """Sign the payers in, with the right to order in batches."""
        connector = aiohttp.TCPConnector(limit=0)
        self.session = aiohttp.ClientSession(connector=connector, trust_env=False)
        for name, password in self.federation.state.get("people", "oostende").items():
            told = {"name": name, "password": password, "scopes": ["batch", "pay"]}
            async with self.session.post(
                f"{self.url}/api/v1/tokens", json=told
            ) as answer:
                if answer.status == 429:
                    break
                self.tokens.append((await answer.json())["token"])

    def order(self, place: int, *, hot: bool) -> dict:
        """Write one order; all of them to one payee when it is to be a hot one."""
        self._key += 1
        payee = "an" if hot else f"m{place % MEMBERS}"
        return {
            "to": f"{payee}@mechelen",
            "payee_amount": 1,
            "payer_amount_max": 1,
            "key": f"bench-{self._key}",
        }

    async def pay(self, place: int, *, hot: bool = False) -> float:
        """Pay once, in a request of its own, and wait until it has cleared."""
        body = self.order(place, hot=hot)
        headers = self.headers(place) | {"Idempotency-Key": body.pop("key")}
        began = time.monotonic()
        async with self.session.post(
            f"{self.url}/api/v1/transfers", json=body, headers=headers
        ) as answer:
            told = await answer.json()
        if told.get("state") != "cleared":
            raise DemoError(f"a payment of the bench: {answer.status} {told}")
        return time.monotonic() - began

    async def pay_many(self, place: int, *, hot: bool = False) -> list[float]:
        """Pay a hundred times in one request."""
        orders = [self.order(place + one, hot=hot) for one in range(ORDERS_A_REQUEST)]
        began = time.monotonic()
        async with self.session.post(
            f"{self.url}/api/v1/transfers/batch",
            json={"orders": orders},
            headers=self.headers(place),
        ) as answer:
            told = await answer.json()
        wrong = [one for one in told if one["status"] != 201]
        if answer.status != 200 or wrong:
            raise DemoError(f"a batch of the bench: {answer.status} {wrong[:1]}")
        took = time.monotonic() - began
        return [took] * len(told)

    def headers(self, place: int) -> dict[str, str]:
        """Say who pays, and that the answer may wait for the end."""
        token = self.tokens[place % len(self.tokens)]
        return {"Authorization": f"Bearer {token}", "Prefer": "wait=30"}


def cpu_of(pid: int) -> float:
    """CPU seconds of a process; 0 when it has gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def metric(url: str, name: str) -> float:
    """One number of a server's metrics."""
    text = Api(url).text("/metrics")
    found = re.search(rf"^{name} ([0-9.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def in_flight(
    count: int, at_once: int, pay: Callable[[int], Awaitable[list[float]]]
) -> list[float]:
    """Pay ``count`` times with so many at once; gives every latency, seconds."""
    latencies: list[float] = []
    places = iter(range(count))

    async def payer() -> None:
        for place in places:
            latencies.extend(await pay(place))

    async with asyncio.TaskGroup() as payers:
        for _ in range(at_once):
            payers.create_task(payer())
    return latencies


async def in_batches(bench: Bench, count: int) -> list[float]:
    """Orders 100 a request, some 256 in flight."""
    requests = count // ORDERS_A_REQUEST
    at_once = max(2, IN_FLIGHT // ORDERS_A_REQUEST)
    return await in_flight(
        requests, at_once, lambda place: bench.pay_many(place * ORDERS_A_REQUEST)
    )


async def hot_account(bench: Bench, count: int) -> list[float]:
    """The same, all to one payee."""
    requests = count // ORDERS_A_REQUEST
    at_once = max(2, IN_FLIGHT // ORDERS_A_REQUEST)
    return await in_flight(
        requests,
        at_once,
        lambda place: bench.pay_many(place * ORDERS_A_REQUEST, hot=True),
    )


async def alone(bench: Bench, count: int) -> list[float]:
    """One request a payment, 256 in flight."""

    async def pay(place: int) -> list[float]:
        return [await bench.pay(place)]

    return await in_flight(count, IN_FLIGHT, pay)


async def one_at_a_time(bench: Bench, count: int) -> list[float]:
    """One payment after the other."""
    return [await bench.pay(place) for place in range(count)]


MEASURES: dict[str, tuple[Measure, int, int]] = {
    "100 orders a request, 256 in flight": (in_batches, 6000, 16),
    "all to one account": (hot_account, 6000, 16),
    "one request a payment, 256 in flight": (alone, 2000, 16),
    "one at a time": (one_at_a_time, 100, 1),
}


async def measure(bench: Bench, name: str, scale: float) -> dict:
    """Measure one thing once, right after pgbench."""
    function, count, clients = MEASURES[name]
    count = max(ORDERS_A_REQUEST * 4, int(count * scale))
    tpcb_rate, tpcb_ms = await asyncio.to_thread(bench.tpcb, clients)
    cpu, commits = bench.cpu_s(), bench.commits()
    began = time.monotonic()
    latencies = sorted(await function(bench, count))
    took = time.monotonic() - began
    done = len(latencies)
    return {
        "rate": done / took,
        "tpcb": tpcb_rate,
        "ratio": done / took / tpcb_rate,
        "p50_ms": latencies[done // 2] * 1000,
        "p99_ms": latencies[int(done * 0.99)] * 1000,
        "tpcb_ms": tpcb_ms,
        "cpu_us": {
            who: (spent - cpu[who]) / done * 1e6 for who, spent in bench.cpu_s().items()
        },
        "commits": {
            who: (made - commits[who]) / done for who, made in bench.commits().items()
        },
    }


def median_of(rounds: list[dict]) -> dict:
    """Take the median of every figure over the rounds."""
    first = rounds[0]
    return {
        name: (
            {who: statistics.median(one[name][who] for one in rounds) for who in value}
            if isinstance(value, dict)
            else statistics.median(one[name] for one in rounds)
        )
        for name, value in first.items()
    }


def show(found: dict) -> None:
    """Print the table."""
    print(f"\n{found['machine']}; PostgreSQL {found['settings']['server_version']}")
    print("fsync, full_page_writes and synchronous_commit are on\n")
    print("| measure | transfers/s | TPC-B/s | ratio | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|")
    for name, told in found["measures"].items():
        print(
            f"| {name} | {told['rate']:.0f} | {told['tpcb']:.0f} | {told['ratio']:.2f} "
            f"| {told['p50_ms']:.1f} | {told['p99_ms']:.1f} |"
        )
    servers = list(next(iter(found["measures"].values()))["cpu_us"])
    print("\nCPU microseconds a transfer, and commits a transfer in brackets\n")
    print(f"| measure | {' | '.join(servers)} | all |")
    print("|---|" + "---|" * (len(servers) + 1))
    for name, told in found["measures"].items():
        cells = [
            f"{told['cpu_us'][who]:.0f}"
            + (f" ({told['commits'][who]:.2f})" if who in told["commits"] else "")
            for who in servers
        ]
        total = sum(told["cpu_us"].values())
        print(f"| {name} | {' | '.join(cells)} | {total:.0f} |")


async def run(bench: Bench, rounds: int, scale: float) -> dict:
    """Measure everything, round after round."""
    found: dict[str, list[dict]] = {name: [] for name in MEASURES}
    await bench.sign_in()
    try:
        await in_batches(bench, 400)
        for number in range(rounds):
            for name in MEASURES:
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
                found[name].append(await measure(bench, name, scale))
    finally:
        await bench.session.close()
    return {name: median_of(told) for name, told in found.items()}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="deploy/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds to measure (3)")
    parser.add_argument("--scale", type=float, default=1, help="size of a round (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def main() -> int:
    """Measure on a federation of its own, and take it away again."""
    chosen = arguments()
    place = data_folder(None).parent if os.geteuid() == 0 else None
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="interlets-bench-", dir=place))
    data.chmod(0o755)
    try:
        with only_one(data):
            bench = Bench(data)
            try:
                settings = bench.start()
                measures = asyncio.run(run(bench, chosen.rounds, chosen.scale))
            finally:
                bench.federation.stop()
    except DemoError as error:
        print(f"The bench failed: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(data, ignore_errors=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    found = {"machine": machine, "settings": settings, "measures": measures}
    if chosen.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
