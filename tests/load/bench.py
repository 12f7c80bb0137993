"""The benchmark: measurements of hb-load and hb-bench-sql in interleaved rounds, checked against the tables of the primary
and of the replica, and printed as ratios. Called by ./dev bench on a stack made for it (units/local/bench.sh).

A thing to measure is a row of SCENARIOS (through nginx) or of DIRECT (at the database alone), a ratio to print a row of
RATIOS."""
import argparse
import dataclasses
import json
import os
import statistics
import sys
import time

from bench_grow import Growth
from bench_stack import ROWLOCK, Stack, Tables, fail
from bench_wins import Wins, show_wins

SPREAD_SHARES = 100
SMALL_SHARES = 2000
DRAW_TRIES = 5
CLAIMS_PER_S = 80_000  # more than can be: users and shares are made for so many
HONEST = 0.8           # of its own limit, at least, for a baseline to count
BATCHES = (64, 128, 256)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One kind of request. `packets`: so many new ones for each measurement, or a list that prepare() made. `users`: so many who
    come again and again, "winners" of the exhausted packet, or None: each comes once. `counts`: the only outcome that counts as
    an answer; with "claimed" each is checked to be a row on both servers."""
    name: str
    kind: str
    port: int = 0
    packets: object = None
    users: object = None
    counts: str = None
    share: float = 1.0  # of CLAIMS_PER_S
    late: bool = False  # needs RabbitMQ, which is started after all others (bench_wins.py)


SCENARIOS = (
    Scenario("static", "static"),
    Scenario("echo", "echo", users=1000),
    Scenario("rowlock_hot", "claim", ROWLOCK, packets=1, counts="claimed", share=0.1),
    Scenario("rowlock_spread", "claim", ROWLOCK, packets="spread", counts="claimed", share=0.25),
    Scenario("hot", "claim", packets=1, counts="claimed"),
    Scenario("hot16", "claim", packets=16, counts="claimed"),
    Scenario("spread", "claim", packets="spread", counts="claimed"),
    Scenario("exhausted", "claim", packets="exhausted", users=20_000, counts="exhausted"),
    Scenario("already", "claim", packets="exhausted", users="winners", counts="already_claimed"),
    Scenario("cover", "cover", packets="spread", users=10_000),
    Scenario("draw", "draw", users=5000, counts="none"),
    Scenario("win", "win", counts="won", share=0.25, late=True),
)


@dataclasses.dataclass(frozen=True)
class Direct:
    """Claims at the database: transactions of `batch` claims from `threads` connections."""
    name: str
    packets: object
    batch: int
    threads: int


DIRECT = (
    *(Direct(f"sql_hot_{n}", 1, n, 1) for n in BATCHES),
    *(Direct(f"sql_spread_{n}", "spread", n, 2) for n in BATCHES),
    Direct("sql_rowlock_hot", 1, 1, 12),
    Direct("sql_rowlock_spread", "spread", 1, 48),
)
LIMITS = {  # name: what the database does at best; the limit is 1 / (1 / echo + 1 / that)
    "limit_hot": [f"sql_hot_{n}" for n in BATCHES],
    "limit_spread": [f"sql_spread_{n}" for n in BATCHES],
    "limit_rowlock_hot": ["sql_rowlock_hot"],
    "limit_rowlock_spread": ["sql_rowlock_spread"],
}
RATIOS = (
    ("hot_vs_rowlock", "hot", "rowlock_hot"),
    ("hot_vs_echo", "hot", "echo"),
    ("hot_vs_limit", "hot", "limit_hot"),
    ("hot16_vs_limit", "hot16", "limit_hot"),
    ("spread_vs_rowlock", "spread", "rowlock_spread"),
    ("spread_vs_limit", "spread", "limit_spread"),
    ("exhausted_vs_echo", "exhausted", "echo"),
    ("already_vs_echo", "already", "echo"),
    ("cover_vs_echo", "cover", "echo"),
    ("draw_vs_echo", "draw", "echo"),
    ("win_vs_draw", "win", "draw"),
    ("rowlock_hot_vs_its_limit", "rowlock_hot", "limit_rowlock_hot"),
    ("rowlock_spread_vs_its_limit", "rowlock_spread", "limit_rowlock_spread"),
)
AT_HALF = ("hot", "spread")


class Bench:
    def __init__(self, args):
        self.args = args
        self.stack = Stack(args.stack, args.build)
        self.tables = Tables(self.stack)
        self.figures = {}  # name: rates, one per round
        self.cpu_us = {}   # name: service: µs of processor time per request
        self.refused = {}
        self.lists = {}    # of packets' numbers
        self.per_run = CLAIMS_PER_S * (args.ms + args.warm_ms) // 1000

    def prepare(self):
        s = self.stack
        self.lists = {"spread": s.fill("spread", self.args.spread, SPREAD_SHARES), "exhausted": s.fill("exhausted", 1, SMALL_SHARES)}
        self.winners = s.users(SMALL_SHARES)
        all_of_them = s.load("claim", packets=self.lists["exhausted"], users=SMALL_SHARES, first_user=self.winners,
                             connections=32, ms=20_000, tickets=SMALL_SHARES)
        self.tables.check_claims(all_of_them["outcomes"].get("claimed", 0), "exhausting")
        # As the transfer worker leaves them a moment later; until then the answer has to ask for the state.
        self.tables.execute("INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, next_check_at, created_at, changed_at)"
                            " SELECT claim_no, packet_id, uid, amount, 1, 2, 0, claimed_at, claimed_at FROM claim"
                            " WHERE packet_id = " + s.read("run/exhausted"))

    def packets_of(self, row, port=None):
        """The list of a row's packets. New ones have shares for a whole measurement; unless they are for the database alone
        (no port), these are drawn: one of each is claimed, until it is."""
        if not isinstance(row.packets, int):
            return self.lists.get(row.packets)
        s, count = self.stack, row.packets
        path = s.fill(row.name, count, self.per_run // count + 1)
        missing, sure = count if port is not None else 0, True
        for _ in range(DRAW_TRIES):
            if missing <= 0:
                return path
            drawn = s.load("claim", port, packets=path, users=count, first_user=s.users(count), connections=1, threads=1,
                           ms=20_000, tickets=count)
            claimed = drawn["outcomes"].get("claimed", 0)
            sure = sure and claimed == drawn["answered"]
            if sure:
                self.tables.check_claims(claimed, "drawing shares")
            else:  # drawing took longer than a claim waits; who comes later on the packet is answered after that one
                self.tables.recount()
            missing -= claimed
        return fail(f"{row.name}: shares could not be drawn") if missing > 0 else path

    def options_of(self, row):
        options = {}
        packets = self.packets_of(row, row.port)
        if packets:
            options["packets"] = packets
        if row.users == "winners":
            options |= {"users": SMALL_SHARES, "first_user": self.winners, "reuse": 1}
        elif row.users:
            options |= {"users": row.users, "first_user": self.stack.users(row.users), "reuse": 1}
        elif row.counts:
            users = int(self.per_run * row.share)
            options |= {"users": users, "first_user": self.stack.users(users)}
        return options

    def measure(self, row, connections, record=True, **more):
        options = {"connections": connections, "ms": self.args.ms, "warm_ms": self.args.warm_ms, **self.options_of(row), **more}
        got, spent = self.stack.loaded(row.kind, row.port, **options)
        claimed = got["outcomes"].get("claimed", 0)
        if row.counts == "claimed":
            self.tables.check_claims(claimed, row.name)
        elif claimed > 0:
            fail(f"{row.name}: {claimed} claims where none could be")
        if got["broken"] or (got["missing"] and "rate" not in more):
            fail(f"{row.name}: {got['broken']} connections broken, {got['missing']} answers missing")
        if got["ran_out"]:
            fail(f"{row.name}: ran out of users; a faster machine than this was foreseen for")
        key = f"{row.name}_{connections}"
        if record:
            good = got["outcomes"].get(row.counts, 0) / got["answered"] if row.counts else 1.0
            self.figures.setdefault(key, []).append(got["rate"] * good)
            if good < 1:
                self.refused[key] = max(self.refused.get(key, 0), 1 - good)
            for service, us in spent.items():
                self.cpu_us.setdefault(key, {}).setdefault(service, []).append(us)
        self.say(f"  {key:18} {got['rate']:9.0f}/s   p50 {got['p50_us'] / 1000:7.2f} ms   p99 {got['p99_us'] / 1000:7.2f} ms"
                 + ("" if set(got["status"]) == {"200"} else f"   statuses {got['status']}"))
        return got

    def direct(self, row):
        got = json.loads(self.stack.sql("direct", self.packets_of(row), row.batch, row.threads, self.args.ms,
                                        self.stack.users(self.per_run * 2)))
        self.tables.check_claims(got["claimed"], row.name)
        self.figures.setdefault(row.name, []).append(got["claimed_rate"])
        self.say(f"  {row.name:18} {got['claimed_rate']:9.0f}/s")

    def round_of(self):
        wanted = self.args.only
        for connections in self.args.connections:
            for row in SCENARIOS:
                if not row.late and (not wanted or row.name in wanted):
                    self.measure(row, connections)
        for row in DIRECT:
            if not wanted or "direct" in wanted:
                self.direct(row)

    def half_of_peak(self):
        """The open loop: what a claim waits for at half of the closed loop's best rate."""
        found = {}
        top = max(self.args.connections)
        for row in SCENARIOS:
            key = f"{row.name}_{top}"
            if row.name not in AT_HALF or key not in self.figures:
                continue
            rate = int(self.median(key) / 2)
            runs = [self.measure(row, top, record=False, rate=rate) for _ in range(self.args.rounds)]
            found[row.name] = {"rate": rate, **{q: statistics.median(r[q] for r in runs) for q in ("p50_us", "p99_us", "p999_us")},
                               "refused": sum(r["answered"] - r["outcomes"].get(row.counts, 0) + r["missing"] for r in runs)}
        return found

    def median(self, key):
        return statistics.median(self.figures[key])

    def say(self, text=""):
        print(text, file=sys.stderr if self.args.json else sys.stdout, flush=True)

    def ratios(self, connections):
        rate = {row.name: self.median(f"{row.name}_{connections}") for row in SCENARIOS
                if f"{row.name}_{connections}" in self.figures}
        for name, sources in LIMITS.items():
            best = max((self.median(s) for s in sources if s in self.figures), default=0)
            if best and "echo" in rate:
                rate[name] = 1 / (1 / rate["echo"] + 1 / best)
        return {name: round(rate[a] / rate[b], 3) for name, a, b in RATIOS if rate.get(a) and rate.get(b)}


def scenarios(*names):
    return [row for row in SCENARIOS if row.name in names]


def report(bench, durable, half, memory, seconds):
    figures = {k: {"median": round(statistics.median(v)), "least": round(min(v)), "most": round(max(v))}
               for k, v in bench.figures.items()}
    ratios = {c: bench.ratios(c) for c in bench.args.connections}
    top = max(bench.args.connections)
    return {
        "ratios": {**ratios[top],
                   **{f"p99_vs_p50_at_half_{k}": round(v["p99_us"] / max(v["p50_us"], 1), 2) for k, v in half.items()}},
        "ratios_by_connections": ratios,
        "per_second": figures,
        "refused_share": bench.refused,
        "half_of_peak": half,
        "cpu_us_per_request": {k: {s: round(statistics.median(u), 1) for s, u in v.items() if statistics.median(u) >= 0.05}
                               for k, v in bench.cpu_us.items()},
        "memory_mb": memory,
        "durable": durable,
        "claims_checked": bench.tables.checked,
        "replica_behind_s": round(bench.tables.behind_s, 2),
        "rounds": bench.args.rounds,
        "processors": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "seconds": round(seconds),
    }


def show(bench, r):
    say = bench.say
    say(f"\nPer second: median (least–most) of {r['rounds']} interleaved rounds")
    for name, f in sorted(r["per_second"].items()):
        say(f"  {name:22} {f['median']:8} ({f['least']}–{f['most']})"
            + (f"   {r['refused_share'][name]:.1%} refused" if name in r["refused_share"] else ""))
    for connections, ratios in r["ratios_by_connections"].items():
        say(f"\nRatios at {connections} connections")
        for name, value in ratios.items():
            say(f"  {name:28} {value:7.2f}")
    for name, value in r["ratios"].items():
        if name.startswith("rowlock") and value < HONEST:
            say(f"  The baseline is not an honest one: {name} is below {HONEST}")
    say("\nAt half of the peak, open loop, time from when each request was due")
    for name, h in r["half_of_peak"].items():
        say(f"  {name:8} {h['rate']}/s   p50 {h['p50_us'] / 1000:.2f} ms   p99 {h['p99_us'] / 1000:.2f} ms   "
            f"p99.9 {h['p999_us'] / 1000:.2f} ms   refused or late {h['refused']}")
    say("\nProcessor time per request, µs")
    for name, spent in sorted(r["cpu_us_per_request"].items()):
        say(f"  {name:18} {sum(spent.values()):7.1f} = " + " + ".join(f"{k} {v}" for k, v in spent.items()))
    say("\nMemory, MB: " + ", ".join(f"{k} {v}" for k, v in r["memory_mb"].items()))


def show_checks(say, r):
    say("Checked: " + ", ".join(f"{k}={v}" for k, v in r["durable"].items()))
    if r["claims_checked"]:
        say(f"Checked: {r['claims_checked']} claims answered = rows on the primary = rows on the replica "
            f"(which was {r['replica_behind_s']} s behind at most)")
    say(f"{r['seconds']} s, load average {r['load_average']:.1f}")


def measure_all(bench, began):
    bench.prepare()
    for n in range(bench.args.rounds):
        bench.say(f"Round {n + 1} of {bench.args.rounds}")
        bench.round_of()
    bench.say("Half of the peak")
    half = bench.half_of_peak()
    memory = bench.stack.memory()
    wins = None
    if not bench.args.only or "win" in bench.args.only:
        wins = Wins(bench, scenarios("win")).run([max(bench.args.connections)], bench.args.queued)
    result = report(bench, bench.tables.check_durable(), half, memory, time.monotonic() - began)
    if wins:
        result |= wins
        result["ratios"]["drain_vs_rate"] = wins["drain"]["drain_vs_rate"]
    show(bench, result)
    if wins:
        show_wins(bench, result)
    return result


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench")
    p.add_argument("--stack", required=True, help=argparse.SUPPRESS)
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures little")
    p.add_argument("--grow", action="store_true", help="instead: how the cost of a claim grows with the tables")
    p.add_argument("--wins", action="store_true", help="instead: the rain: draws that win and draws that do not, and a drain")
    p.add_argument("--queued", type=int, help="wins that are drained, at least; 200,000 with --wins, else what was measured")
    p.add_argument("--json", action="store_true", help="one object on standard output, the progress on standard error")
    p.add_argument("--keep", action="store_true", help="leave the stack running")
    p.add_argument("--only", type=lambda s: s.split(","), help=f"of {','.join(row.name for row in SCENARIOS)},direct")
    p.add_argument("--rounds", type=int)
    p.add_argument("--sizes", type=lambda s: [int(n) for n in s.split(",")], help="of --grow, in multiples of 10,000 packets")
    p.add_argument("--connections", type=lambda s: [int(c) for c in s.split(",")], default=[64, 256])
    p.add_argument("--ms", type=int, default=1600, help="length of one measurement")
    args = p.parse_args()
    args.warm_ms, args.spread = 400, 100_000
    if args.quick:
        args.ms, args.warm_ms, args.spread, args.connections = 300, 100, 5000, [64]
    if args.queued is None:
        args.queued = 2000 if args.quick else 200_000 if args.wins else 0
    args.rounds = args.rounds or (1 if args.quick else 5 if args.grow else 3)
    return args


def main():
    began = time.monotonic()
    args = arguments()
    bench = Bench(args)
    bench.tables.check_durable()
    if args.wins:
        result = Wins(bench, scenarios("echo", "draw", "win")).measure_all(began)
    else:
        result = Growth(bench).measure_all(began) if args.grow else measure_all(bench, began)
    show_checks(bench.say, result)
    if args.json:
        print(json.dumps(result))


main()
