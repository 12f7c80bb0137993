"""./dev bench finance: finance hangs (it accepts and does not answer) while clients ask ten times as often, in rounds that take
turns with rounds in which it is well: what claims, b2c sends and queries wait for. Then it is away for a while, and comes back: how the
backlog drains. Claims, sends and queries come on a schedule (open loop), all at once, through the front door.

nginx logs each call of finance with the program that made it (stack/nginx.awk), so what finance is asked stands there and not in
our own counts."""
import argparse
import collections
import concurrent.futures
import json
import os
import re
import signal
import sqlite3
import statistics
import time

from bench_stack import Stack, Tables, fail
from bench_wins import Wins, wait_for

SIM = "finance-sim"
WORKERS = tuple(f"A-worker-{role}" for role in ("relay", "transfer", "credit", "credited", "callback", "check", "inbox", "sweep"))
POLL_TIMES = 10
SHARES = 100
SETTLE_S = 180
# kind of hb-load: requests a second. What is compared are the first three.
RATES = {"claim": 200, "b2c": 20, "cover": 100, "payment": 20, "c2c": 10}
COMPARED = ("claim", "b2c", "cover")
BUSY = ("429", "503")  # of a machine with too much else to do: counted and told, for it makes the waits worthless
GOOD = {"claim": "200", "b2c": "201", "cover": "200"}
# Places at once of each program (the defaults of options.def), and threads that may be late with a call whose time has come.
PLACES = {"payment": 16, "transfer": 16, "query": 16}
THREADS = {"hb-core": 16, "hb-worker-transfer": 4, "hb-worker-check": 4, "hb-worker-sweep": 4}
BUCKET_S = 0.1
# nginx may notice a call's end so much later than the program that has its answer, or gave it up after finance.total_ms, and makes the next.
LATE_S = 0.3
TOTAL_S = 4
NOT_FINAL = {  # states of states.def that are not at rest
    "payments": "SELECT COUNT(*) FROM payment WHERE state NOT IN (2, 4, 6)",
    "transfers": "SELECT COUNT(*) FROM transfer WHERE state <> 2",
    "claims without a transfer": "SELECT COUNT(*) FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no WHERE t.order_no IS NULL",
}


class Call:
    """One line of nginx's log: a call that a program made."""
    def __init__(self, line):
        ended, took, status, method, uri, agent = line.split(" ", 5)
        self.began, self.ended = float(ended) - float(took), float(ended)
        self.status, self.program = int(status), agent.strip()
        kind = re.match(r"/finance/v1/(\w+?)s(/|$)", uri)
        self.op = kind[1] if kind and method == "POST" and not kind[2] else "query"


class Finance:
    def __init__(self, args):
        self.args = args
        self.stack = Stack(args.stack, args.build)
        self.tables = Tables(self.stack)
        self.per_s = int(re.search(r"per_s = (\d+)", self.stack.read("etc/hongbao.cfg"))[1])
        self.runs, self.subsidies, self.claimed, self.refused = 0, [], 0, 0
        self.wins = Wins(self, ())

    def say(self, text=""):
        if not self.args.json:
            print(text, flush=True)

    # ---- what there is to load ----

    def prepare(self):
        self.wins.start_broker()
        self.wins.service("up", SIM, *WORKERS)
        seconds = (2 * self.args.rounds * (self.args.ms + self.args.warm_ms) + 2 * self.args.away_ms + 4000) / 1000
        self.wins.fill(int(RATES["b2c"] * seconds * 1.2))
        self.wins.drain()
        with self.tables.primary.cursor() as c:
            c.execute("SELECT subsidy_id, uid FROM subsidy ORDER BY subsidy_id")
            self.subsidies = c.fetchall()
        self.packets = self.stack.fill("claimed", 2000, SHARES)
        self.tables.recount()
        self.claimed = self.tables.rows[0]

    def list_of(self, name, rows):
        path = self.stack.path(f"run/{name}")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(f"{number} {uid}\n" for number, uid in rows)
        return path

    def payments(self, count):
        """Sends that nobody has paid yet, to be asked about."""
        self.runs += 1
        self.stack.load("c2c", users=count, first_user=self.stack.users(count), tickets=count, connections=8, ms=20_000,
                        key=f"bench-payments-{self.runs}-")
        with self.tables.primary.cursor() as c:
            c.execute("SELECT order_no, payer FROM payment WHERE state = 1 AND cashier_url <> '' ORDER BY order_no DESC LIMIT %s", (count,))
            rows = c.fetchall()
        if len(rows) < count * 0.9:
            fail(f"only {len(rows)} of {count} sends wait to be paid")
        return self.list_of("payments", rows)

    def phase(self, ms, often=1, payments=None):
        """All kinds at once; hb-load's result of each."""
        self.runs += 1
        seconds = (ms + self.args.warm_ms) / 1000
        need = {kind: int(rate * self.args.scale * seconds) + 2 for kind, rate in RATES.items()}
        spend, self.subsidies = self.subsidies[:need["b2c"]], self.subsidies[need["b2c"]:]
        if len(spend) < need["b2c"]:
            fail("too few subsidies were won")
        own = {"claim": {"packets": self.packets}, "b2c": {"packets": self.list_of("subsidies", spend)}, "cover": {"packets": self.packets, "reuse": 1},
               "payment": {"packets": payments, "reuse": 1}, "c2c": {}}

        def load(kind):
            rate = RATES[kind] * self.args.scale * (often if kind == "payment" else 1)
            users = 1000 if kind == "cover" else need[kind]
            return self.stack.load(kind, rate=int(rate), connections=32 if kind in COMPARED else 64, threads=1, ms=ms, warm_ms=self.args.warm_ms,
                                   users=users, first_user=first[kind], key=f"bench-run-{self.runs}-", **own[kind])

        first = {kind: self.stack.users(max(need[kind], 1000)) for kind in RATES}
        with concurrent.futures.ThreadPoolExecutor(len(RATES)) as pool:
            got = dict(zip(RATES, pool.map(load, RATES)))
        self.claimed += got["claim"]["outcomes"].get("claimed", 0)
        for kind in COMPARED:
            told = got[kind]["status"]
            strange = set(told) - {GOOD[kind], *BUSY}
            if strange or not told.get(GOOD[kind]) or got[kind]["broken"] > 3:
                fail(f"{kind}: {told}, {got[kind]['broken']} connections broken")
            self.refused += sum(told.get(status, 0) for status in BUSY)
        return got

    def show(self, name, got):
        self.say(f"  {name:6}" + "".join(f"   {kind} p50 {g['p50_us'] / 1000:.2f} p99 {g['p99_us'] / 1000:.2f} ms" for kind, g in got.items() if kind in COMPARED)
                 + "   " + ", ".join(f"{kind} {got[kind]['status']}" for kind in ("payment", "c2c")))

    # ---- finance ----

    def sim(self, sig):
        os.kill(int(self.stack.read(f"sv/{SIM}/supervise/pid")), sig)

    def open_orders(self):
        return {name: int(self.tables.one(self.tables.primary, sql)[0]) for name, sql in NOT_FINAL.items()}

    def settled(self, what, names=("transfers", "claims without a transfer")):
        wait_for(SETTLE_S, f"{what}: every order at its end", lambda: not any(self.open_orders()[n] for n in names), 0.25)

    def calls(self, since, until):
        time.sleep(1.2)  # nginx writes its log once a second
        with open(self.stack.path("log/nginx-east/finance.calls"), encoding="utf-8") as f:
            return [c for c in map(Call, f) if c.program.startswith("hb-") and since <= c.began < until]

    def outbound(self, calls):
        """Most calls under way at once by program and operation, of those that hang."""
        most = {}
        ends = [(c, min(c.ended, c.began + TOTAL_S) - LATE_S) for c in calls]
        for key in {(c.program, c.op) for c in calls}:
            edges = sorted(e for c, end in ends if (c.program, c.op) == key and end > c.began for e in ((c.began, 1), (end, -1)))
            now = peak = 0
            for _, step in edges:
                now += step
                peak = max(peak, now)
            most[" ".join(key)] = peak
            if peak > PLACES[key[1]]:
                fail(f"{key[0]} had {peak} calls ({key[1]}) under way at once, {PLACES[key[1]]} are allowed")
        return most

    def pace(self, calls, since):
        """Calls begun in each tenth of a second; of each program never more than its rate, and what its threads were late with."""
        of_all, of_one = collections.Counter(), collections.Counter()
        for c in calls:
            at = int((c.began - since) / BUCKET_S)
            of_all[at] += 1
            of_one[c.program, at] += 1
        peaks = {}
        for (program, _), count in of_one.items():
            peaks[program] = max(peaks.get(program, 0), count)
        for program, peak in peaks.items():
            most = self.per_s * BUCKET_S + 1 + THREADS[program.split()[0]]
            if peak > most:
                fail(f"{program} began {peak} calls in {BUCKET_S} s, {most:g} are allowed")
        series = [of_all[n] for n in range(max(of_all) + 1)]
        busy = [n for n in series if n]
        return {"per_100_ms": series, "most": max(series), "median_while_busy": statistics.median(busy),
                "limit_of_a_program": self.per_s * BUCKET_S, "most_by_program": peaks}

    # ---- the two parts ----

    def hung(self):
        p99 = {state: {kind: [] for kind in COMPARED} for state in ("well", "hung")}
        most, answers = {}, collections.Counter()
        for n in range(self.args.rounds):
            self.say(f"Round {n + 1} of {self.args.rounds}")
            payments = self.payments(int(200 * self.args.scale))
            for state in ("well", "hung") if n % 2 == 0 else ("hung", "well"):
                since = time.time()
                if state == "hung":
                    self.sim(signal.SIGSTOP)
                try:
                    got = self.phase(self.args.ms, POLL_TIMES if state == "hung" else 1, payments)
                finally:
                    self.sim(signal.SIGCONT)
                calls = self.calls(since, time.time())
                for key, peak in self.outbound(calls).items():
                    most[key] = max(most.get(key, 0), peak)
                self.show(state, got)
                for kind in COMPARED:
                    p99[state][kind].append(got[kind]["p99_us"])
                if state == "hung":
                    answers.update({f"{kind} {status}": count for kind in got for status, count in got[kind]["status"].items()})
                self.settled(state)
        medians = {state: {kind: statistics.median(v) for kind, v in kinds.items()} for state, kinds in p99.items()}
        return {"p99_us": medians, "ratios": {f"{kind}_p99_hung_vs_well": round(medians["hung"][kind] / medians["well"][kind], 2) for kind in COMPARED},
                "most_under_way": most, "answers_while_hung": dict(answers)}

    def away(self):
        self.say(f"Finance is away for {(self.args.away_ms + self.args.warm_ms) / 1000:g} s")
        payments = self.payments(int(200 * self.args.scale))
        well = self.phase(self.args.away_ms, 1, payments)
        self.show("well", well)
        self.settled("before the outage")
        self.wins.service("down", SIM)
        down = self.phase(self.args.away_ms, POLL_TIMES, payments)
        self.show("away", down)
        backlog = self.open_orders()
        since = time.time()
        self.wins.service("up", SIM)
        back = time.monotonic()
        self.settled("the drain")
        transfers_s = time.monotonic() - back
        self.settled("payments", tuple(NOT_FINAL))
        drain = self.pace(self.calls(since, time.time()), since)
        self.say(f"  {sum(backlog.values())} orders waited: {backlog}; transfers done {transfers_s:.1f} s after its return")
        self.say(f"  calls begun in each tenth of a second: at most {drain['most']}, {drain['median_while_busy']} while any (limit of one program: "
                 f"{drain['limit_of_a_program']:g}): {drain['most_by_program']}")
        return {"ratios": {f"{kind}_p99_away_vs_well": round(down[kind]["p99_us"] / well[kind]["p99_us"], 2) for kind in COMPARED},
                "claims_per_s": {"well": round(well["claim"]["claimed_rate"]), "away": round(down["claim"]["claimed_rate"])},
                "backlog": backlog, "transfers_drained_s": round(transfers_s, 1), "drain": drain}

    def books(self):
        """Every claim is one transfer, done here and at finance, with the same sum; on the replica as well."""
        self.tables.catch_up()
        ours = [tuple(map(int, self.tables.one(db, "SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM transfer WHERE state = 2 AND kind = 1")))
                for db in (self.tables.primary, self.tables.replica)]
        claims = tuple(map(int, self.tables.one(self.tables.primary, "SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM claim")))
        with sqlite3.connect(f"file:{self.stack.path('data/finance/finance.sqlite')}?mode=ro", uri=True) as db:
            theirs = db.execute("SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM entries WHERE kind = 'transfer'").fetchone()
        if not ours[0] == ours[1] == claims == tuple(theirs) or claims[0] != self.claimed:
            fail(f"claimed {self.claimed}, claims {claims}, transfers {ours}, finance's {theirs} (how many, fen)")
        return {"claims": claims[0], "fen": claims[1], "not_final": sum(self.open_orders().values())}


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench finance")
    p.add_argument("--stack", required=True, help=argparse.SUPPRESS)
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures little")
    p.add_argument("--rounds", type=int)
    p.add_argument("--json", action="store_true", help="one object on standard output")
    p.add_argument("--keep", action="store_true", help="leave the stack running")
    args = p.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 6)
    args.ms, args.away_ms, args.warm_ms, args.scale = (2500, 2500, 500, 0.5) if args.quick else (5000, 18_000, 1000, 1)
    return args


def main():
    began = time.monotonic()
    args = arguments()
    f = Finance(args)
    durable = f.tables.check_durable()
    f.prepare()
    hung = f.hung()
    away = f.away()
    result = {"ratios": {**hung.pop("ratios"), **away.pop("ratios")}, "hung": hung, "away": away, "books": f.books(), "refused": f.refused, "durable": durable,
              "rounds": args.rounds, "per_s": f.per_s, "rates": RATES, "load_average": os.getloadavg()[0], "seconds": round(time.monotonic() - began)}
    f.say()
    for name, value in result["ratios"].items():
        f.say(f"  {name:24} {value:.2f}")
    if f.refused:
        f.say(f"{f.refused} requests were refused as busy: this machine had too much else to do, and the waits say little")
    f.say(f"Most calls under way at once while it hung: {hung['most_under_way']}")
    f.say(f"Checked: {result['books']['claims']} claims = transfers done = finance's entries, {result['books']['fen']} fen; {result['books']['not_final']} orders not at "
          f"their end. {result['seconds']} s, load average {result['load_average']:.1f}")
    if args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
