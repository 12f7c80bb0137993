"""The benchmark: measurements of hb-load and hb-bench-sql in interleaved rounds, checked against the tables of the primary
and of the replica, and printed as ratios. Called by ./dev bench on a stack made for it (units/local/bench.sh)."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import pymysql

HZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SPREAD_PACKETS = 100_000
SPREAD_SHARES = 100
SMALL_SHARES = 2000
HOT = {"hot": 1, "hot16": 16, "rowlock_hot": 1, "direct_hot": 1}  # name: packets, fresh for every measurement
DRAW_TRIES = 5
HONEST = 0.8  # of its own limit, at least, for a baseline to count
BATCHES = (64, 128, 256)
DURABLE = {
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "rpl_semi_sync_master_enabled": "ON",
    "rpl_semi_sync_master_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_master_wait_no_slave": "ON",
}
REPLICA_DURABLE = {"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}
SCENARIOS = ("static", "echo", "rowlock_hot", "rowlock_spread", "hot", "hot16", "spread", "exhausted", "already", "cover")
CLAIMING = {"rowlock_hot", "rowlock_spread", "hot", "hot16", "spread"}


def fail(why):
    sys.exit(f"bench: {why}")


class Stack:
    def __init__(self, folder, build):
        self.folder, self.build = folder, build
        self.base = int(self.read("base"))
        self.user = 0

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as f:
            return f.read().strip()

    def path(self, name):
        return os.path.join(self.folder, name)

    def db(self, site):
        return pymysql.connect(host="127.0.0.1", port=self.base + {"east": 20, "west": 30}[site], user="hb_ctl",
                               password=self.read("secrets/db.hb_ctl"), database="hongbao", autocommit=True)

    def users(self, count):
        """Users who have claimed nothing yet."""
        self.user += count
        return self.user - count

    def run(self, *argv):
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, check=False, text=True,
                              stderr=open(self.path("log/bench"), "ab"))
        if done.returncode != 0:
            fail(f"{os.path.basename(argv[0])} failed; see {self.path('log/bench')}")
        return done.stdout

    def sql(self, *argv):
        return self.run(os.path.join(self.build, "hb-bench-sql"), "--config", self.path("etc/hongbao.cfg"), "--cell", "A",
                        "--site", "east", "--instance", "90", "--live", self.path("live/A.cfg"), *argv)

    def fill(self, name, packets, shares):
        path = self.path(f"run/{name}")
        self.sql("fill", packets, shares, path)
        return path

    def load(self, kind, port=0, **options):
        argv = [os.path.join(self.build, "hb-load"), "--kind", kind, "--port", self.base + port, "--keys",
                self.path("secrets/session.keys")]
        for name, value in options.items():
            argv += [f"--{name.replace('_', '-')}", value]
        return json.loads(self.run(*argv))

    def processes(self):
        """Process ids by the name of their service. nginx's workers lose their environment."""
        master = self.read("run/nginx.pid")
        with open(f"/proc/{master}/task/{master}/children", encoding="utf-8") as f:
            found = {"nginx": [int(master), *map(int, f.read().split())]}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:
                    if f"HB_SUPERVISED={self.folder}".encode() not in f.read().split(b"\0"):
                        continue
                where = os.readlink(f"/proc/{entry}/cwd")
                with open(f"/proc/{entry}/comm", encoding="utf-8") as f:
                    comm = f.read().strip()
            except OSError:
                continue
            if comm not in ("runsv", "svlogd", "runsvdir", "nginx"):
                found.setdefault(os.path.basename(where), []).append(int(entry))
        return found

    def cpu(self, processes):
        """Seconds of processor time by service."""
        spent = {}
        for name, pids in processes.items():
            for pid in pids:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                    field = f.read().rsplit(")", 1)[1].split()
                spent[name] = spent.get(name, 0) + (int(field[11]) + int(field[12])) / HZ
        return spent

    def memory(self):
        """Resident MB by service."""
        sizes = {}
        for name, pids in self.processes().items():
            for pid in pids:
                with open(f"/proc/{pid}/statm", encoding="utf-8") as f:
                    sizes[name] = sizes.get(name, 0) + int(f.read().split()[1]) * PAGE / 1e6
        return {name: round(size, 1) for name, size in sorted(sizes.items())}


class Tables:
    """What primary and replica hold; every number of claims is checked here."""

    def __init__(self, stack):
        self.primary, self.replica = stack.db("east"), stack.db("west")
        self.rows = self.counted(self.primary)
        self.behind_s = 0.0

    @staticmethod
    def one(connection, sql, *args):
        with connection.cursor() as c:
            c.execute(sql, args)
            return c.fetchone()

    def execute(self, sql):
        with self.primary.cursor() as c:
            c.execute(sql)

    @staticmethod
    def settings(connection, what, like):
        with connection.cursor() as c:
            c.execute(f"SHOW GLOBAL {what} LIKE %s", (like,))
            return dict(c.fetchall())

    def counted(self, connection):
        """Claim rows, and shares that packets say are taken."""
        return (self.one(connection, "SELECT COUNT(*) FROM claim")[0],
                int(self.one(connection, "SELECT COALESCE(SUM(count - remaining_count), 0) FROM packet")[0]))

    def check_durable(self):
        is_now = self.settings(self.primary, "VARIABLES", "%")
        replica = self.settings(self.replica, "VARIABLES", "%")
        status = self.settings(self.primary, "STATUS", "Rpl_semi_sync_master_%")
        for name, want in DURABLE.items():
            if is_now[name] != want:
                fail(f"the primary has {name}={is_now[name]}, not {want}")
        for name, want in REPLICA_DURABLE.items():
            if replica[name] != want:
                fail(f"the replica has {name}={replica[name]}, not {want}")
        if status["Rpl_semi_sync_master_status"] != "ON" or int(status["Rpl_semi_sync_master_clients"]) < 1:
            fail("no replica acknowledges")
        return {**{name: is_now[name] for name in DURABLE}, "semi_sync_replicas": int(status["Rpl_semi_sync_master_clients"]),
                "commits_without_acknowledgement": int(status["Rpl_semi_sync_master_no_tx"])}

    def check_claims(self, answered, what):
        """Claims answered since the last check are the rows added, on both servers."""
        began = time.monotonic()
        at = self.one(self.primary, "SELECT @@gtid_binlog_pos")[0]
        if self.one(self.replica, "SELECT MASTER_GTID_WAIT(%s, 120)", at)[0] != 0:
            fail("the replica did not catch up")
        self.behind_s = max(self.behind_s, time.monotonic() - began)
        on_primary, on_replica = self.counted(self.primary), self.counted(self.replica)
        added = on_primary[0] - self.rows[0]
        taken = on_primary[1] - self.rows[1]
        self.rows = on_primary
        if not answered == added == taken or on_replica != on_primary:
            fail(f"{what}: {answered} answers, {added} rows, {taken} shares taken; replica {on_replica}, primary {on_primary}")


class Bench:
    def __init__(self, args):
        self.args = args
        self.stack = Stack(args.stack, args.build)
        self.tables = Tables(self.stack)
        self.figures = {}  # name: rates, one per round
        self.cpu_us = {}   # name: service: µs of processor time per request
        self.refused = {}
        self.claims = 0
        self.per_run = 60_000 * (args.ms + args.warm_ms) // 1000  # claims at most

    def prepare(self):
        s = self.stack
        self.packets = {
            "spread": s.fill("spread", SPREAD_PACKETS, SPREAD_SHARES),
            "exhausted": s.fill("exhausted", 1, SMALL_SHARES),
        }
        self.packets["rowlock_spread"] = self.packets["cover"] = self.packets["direct_spread"] = self.packets["spread"]
        self.packets["already"] = self.packets["exhausted"]
        self.winners = s.users(SMALL_SHARES)
        all_of_them = s.load("claim", packets=self.packets["exhausted"], users=SMALL_SHARES, first_user=self.winners,
                             connections=32, ms=20_000, tickets=SMALL_SHARES)
        self.count_claims("exhausting", all_of_them["outcomes"].get("claimed", 0))
        # As the transfer worker leaves them a moment later; until then the answer has to ask for the state.
        self.tables.execute("INSERT INTO transfer (order_no, packet_id, payee, amount, kind, state, next_check_at, created_at, changed_at)"
                            " SELECT claim_no, packet_id, uid, amount, 1, 2, 0, claimed_at, claimed_at FROM claim"
                            " WHERE packet_id = " + s.read("run/exhausted"))

    def fresh_packets(self, name):
        """Packets with shares for a whole measurement, drawn: one of each is claimed, until it is."""
        count = HOT.get(name)
        if not count:
            return
        s = self.stack
        self.packets[name] = s.fill(name, count, self.per_run // count + 1)
        if name == "direct_hot":
            return
        missing = count
        for _ in range(DRAW_TRIES):
            drawn = s.load("claim", 4 if name.startswith("rowlock") else 0, packets=self.packets[name], users=count,
                           first_user=s.users(count), connections=1, threads=1, ms=20_000, tickets=count)
            claimed = drawn["outcomes"].get("claimed", 0)
            self.count_claims("drawing shares", claimed)
            missing -= claimed
            if missing <= 0:
                return
        fail(f"{name}: shares could not be drawn")

    def count_claims(self, what, claimed):
        self.claims += claimed
        self.tables.check_claims(claimed, what)

    def options_of(self, name):
        """Kind, port and further options of hb-load."""
        if name == "static":
            return "static", 0, {}
        if name == "echo":
            return "echo", 0, {"users": 1000, "reuse": 1}
        if name == "cover":
            return "cover", 0, {"users": 10_000, "reuse": 1, "packets": self.packets[name]}
        if name == "already":
            return "claim", 0, {"users": SMALL_SHARES, "first_user": self.winners, "reuse": 1, "packets": self.packets[name]}
        users = self.per_run // (4 if name.startswith("rowlock") else 1)
        return ("claim", 4 if name.startswith("rowlock") else 0,
                {"users": users, "first_user": self.stack.users(users), "packets": self.packets[name]})

    def measure(self, name, connections, record=True, **more):
        self.fresh_packets(name)
        kind, port, options = self.options_of(name)
        processes = self.stack.processes()
        before = self.stack.cpu(processes)
        began = os.times()
        got = self.stack.load(kind, port, connections=connections, ms=self.args.ms, warm_ms=self.args.warm_ms,
                              **{**options, **more})
        ended = os.times()
        after = self.stack.cpu(processes)
        claimed = got["outcomes"].get("claimed", 0)
        if name in CLAIMING:
            self.count_claims(name, claimed)
        elif claimed > 0:
            fail(f"{name}: {claimed} claims where none could be")
        if got["broken"] or (got["missing"] and "rate" not in more):
            fail(f"{name}: {got['broken']} connections broken, {got['missing']} answers missing")
        if got["ran_out"]:
            fail(f"{name}: ran out of users; a faster machine than this was foreseen for")
        key = f"{name}_{connections}"
        if record:
            good = {"exhausted": "exhausted", "already": "already_claimed"}.get(name, "claimed" if name in CLAIMING else None)
            share = got["outcomes"].get(good, 0) / got["answered"] if good else 1.0
            self.figures.setdefault(key, []).append(got["rate"] * share)
            if share < 1:
                self.refused[key] = max(self.refused.get(key, 0), 1 - share)
            spent = {service: (after[service] - before[service]) * 1e6 / got["answered"] for service in after}
            spent["hb-load"] = (ended.children_user + ended.children_system - began.children_user - began.children_system) \
                * 1e6 / got["answered"]
            for service, us in spent.items():
                self.cpu_us.setdefault(key, {}).setdefault(service, []).append(us)
        self.say(f"  {key:18} {got['rate']:9.0f}/s   p50 {got['p50_us'] / 1000:7.2f} ms   p99 {got['p99_us'] / 1000:7.2f} ms"
                 + ("" if set(got["status"]) == {"200"} else f"   statuses {got['status']}"))
        return got

    def direct(self, name, packets, batch, threads):
        self.fresh_packets(packets)
        got = json.loads(self.stack.sql("direct", self.packets[packets], batch, threads, self.args.ms,
                                        self.stack.users(self.per_run * 2)))
        self.count_claims(name, got["claimed"])
        self.figures.setdefault(name, []).append(got["claimed_rate"])
        self.say(f"  {name:18} {got['claimed_rate']:9.0f}/s")

    def round_of(self):
        wanted = self.args.only
        for connections in self.args.connections:
            for name in SCENARIOS:
                if not wanted or name in wanted:
                    self.measure(name, connections)
        if wanted and "direct" not in wanted:
            return
        for batch in BATCHES:
            self.direct(f"sql_hot_{batch}", "direct_hot", batch, 1)
            self.direct(f"sql_spread_{batch}", "direct_spread", batch, 2)
        self.direct("sql_rowlock_hot", "direct_hot", 1, 12)
        self.direct("sql_rowlock_spread", "direct_spread", 1, 48)

    def half_of_peak(self):
        """The open loop: what a claim waits for at half of the closed loop's best rate."""
        found = {}
        top = max(self.args.connections)
        for name in ("hot", "spread"):
            key = f"{name}_{top}"
            if key not in self.figures:
                continue
            rate = int(self.median(key) / 2)
            runs = [self.measure(name, top, record=False, rate=rate) for _ in range(self.args.rounds)]
            found[name] = {"rate": rate, **{q: statistics.median(r[q] for r in runs) for q in ("p50_us", "p99_us", "p999_us")},
                           "refused": sum(r["answered"] - r["outcomes"].get("claimed", 0) + r["missing"] for r in runs)}
        return found

    def median(self, key):
        return statistics.median(self.figures[key])

    def say(self, text=""):
        print(text, file=sys.stderr if self.args.json else sys.stdout, flush=True)

    def best(self, prefix):
        """The best batch's median, or None when it was not measured."""
        rates = [self.median(f"{prefix}_{batch}") for batch in BATCHES if f"{prefix}_{batch}" in self.figures]
        return max(rates, default=None)

    def ratios(self, connections):
        f = {name: self.median(f"{name}_{connections}") for name in SCENARIOS if f"{name}_{connections}" in self.figures}
        echo = f.get("echo")
        sql = {"hot": self.best("sql_hot"), "spread": self.best("sql_spread")}
        limit = {k: 1 / (1 / echo + 1 / v) if echo and v else None for k, v in sql.items()}
        honest = {k: 1 / (1 / echo + 1 / self.median(f"sql_rowlock_{k}")) if echo and f"sql_rowlock_{k}" in self.figures else None
                  for k in ("hot", "spread")}
        pairs = {
            "hot_vs_rowlock": (f.get("hot"), f.get("rowlock_hot")),
            "hot_vs_echo": (f.get("hot"), echo),
            "hot_vs_limit": (f.get("hot"), limit["hot"]),
            "hot16_vs_limit": (f.get("hot16"), limit["hot"]),
            "spread_vs_rowlock": (f.get("spread"), f.get("rowlock_spread")),
            "spread_vs_limit": (f.get("spread"), limit["spread"]),
            "exhausted_vs_echo": (f.get("exhausted"), echo),
            "already_vs_echo": (f.get("already"), echo),
            "cover_vs_echo": (f.get("cover"), echo),
            "rowlock_hot_vs_its_limit": (f.get("rowlock_hot"), honest["hot"]),
            "rowlock_spread_vs_its_limit": (f.get("rowlock_spread"), honest["spread"]),
        }
        return {name: round(a / b, 3) for name, (a, b) in pairs.items() if a and b}


def report(bench, durable, half, seconds):
    figures = {k: {"median": round(statistics.median(v)), "least": round(min(v)), "most": round(max(v))}
               for k, v in bench.figures.items()}
    ratios = {c: bench.ratios(c) for c in bench.args.connections}
    top = max(bench.args.connections)
    return {
        "ratios": {**ratios[top], **{f"p99_vs_p50_at_half_{k}": round(v["p99_us"] / v["p50_us"], 2) for k, v in half.items()}},
        "ratios_by_connections": ratios,
        "per_second": figures,
        "refused_share": bench.refused,
        "half_of_peak": half,
        "cpu_us_per_request": {k: {s: round(statistics.median(u), 1) for s, u in v.items() if statistics.median(u) >= 0.05}
                               for k, v in bench.cpu_us.items()},
        "memory_mb": bench.stack.memory(),
        "durable": durable,
        "claims_checked": bench.claims,
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
    say("Checked: " + ", ".join(f"{k}={v}" for k, v in r["durable"].items()))
    say(f"Checked: {r['claims_checked']} claims answered = rows on the primary = rows on the replica "
        f"(which was {r['replica_behind_s']} s behind at most)")


def main():
    p = argparse.ArgumentParser(prog="./dev bench")
    p.add_argument("--stack", required=True, help=argparse.SUPPRESS)
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures little")
    p.add_argument("--json", action="store_true", help="one object on standard output, the progress on standard error")
    p.add_argument("--keep", action="store_true", help="leave the stack running")
    p.add_argument("--only", type=lambda s: s.split(","), help=f"of {','.join(SCENARIOS)},direct")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--connections", type=lambda s: [int(c) for c in s.split(",")], default=[64, 256])
    p.add_argument("--ms", type=int, default=2500, help="length of one measurement")
    args = p.parse_args()
    args.warm_ms = 500
    if args.quick:
        args.rounds, args.ms, args.warm_ms = 1, 600, 200
    began = time.monotonic()
    bench = Bench(args)
    bench.tables.check_durable()
    bench.prepare()
    for n in range(args.rounds):
        bench.say(f"Round {n + 1} of {args.rounds}")
        bench.round_of()
    bench.say("Half of the peak")
    half = bench.half_of_peak()
    durable = bench.tables.check_durable()
    result = report(bench, durable, half, time.monotonic() - began)
    show(bench, result)
    if args.json:
        print(json.dumps(result))


main()
