"""Wins of the rain: how fast they are confirmed, and how a pile of them is drained at the configured rate. RabbitMQ and the consumer
(stage `later` in stack/services.tsv) run from here on only, so that nothing else is measured beside them.

Every message that is drained is a real win: drawn through the front door, paid for by a lease, logged, published, confirmed. So
hb-rain's own log (docs/rain.md) says what must be in the tables, win by win."""
import glob
import json
import os
import socket
import re
import statistics
import subprocess
import time
import urllib.request

from bench_stack import fail

WORKER = "A-worker-subsidy"
BROKER = ("epmd", "rabbitmq")
AMQP, OPS = 13, 1  # offsets of ports
START_S = 60
SETTLE_S = 30
DRAW_RUNS = 20
DRAW_MS = 120_000
CONNECTIONS = 256
RECORD = 4  # a booking of lib/domain/ledger.def
BOOKS = {  # name: its query for (count, fen), the same for each when nothing is lost and nothing is there twice
    "subsidies": "SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM subsidy WHERE issuer = 'rain'",
    "tracked": "SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM tracking WHERE issuer = 'rain'",
    "booked": f"SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM ledger WHERE kind = {RECORD} AND leg = 1",
    "taken": f"SELECT COUNT(*), COALESCE(-SUM(amount), 0) FROM ledger WHERE kind = {RECORD} AND leg = 0",
}


def wait_for(seconds, what, done, every_s=0.05):
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            fail(f"{what}: not within {seconds} s")
        time.sleep(every_s)


class Wins:
    def __init__(self, bench, rows):
        """`rows`: scenarios to measure in interleaved rounds; those that win say so."""
        self.bench, self.stack, self.tables, self.rows = bench, bench.stack, bench.tables, rows
        self.answered = self.unknown = self.queued = 0  # draws answered with a win; those that were not; messages

    # ---- the services ----

    def service(self, verb, *names):
        subprocess.run(["sv", "-w", str(START_S), verb, *(self.stack.path(f"sv/{n}") for n in names)], check=True,
                       stdout=subprocess.DEVNULL)

    def backlog(self):
        done = subprocess.run([os.path.join(self.stack.build, "hbctl"), "-o", "json", "subsidies", "backlog"], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env={**os.environ, "HB_CONFIG": self.stack.path("etc/hongbao.cfg"), "HB_STATE": self.stack.folder})
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def consumers(self, count):
        now = self.backlog()
        return now is not None and now["consumers"] == count

    def listening(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.stack.base + AMQP)) == 0

    def start_broker(self):
        """With the queue, which its consumer declares, and hb-rain connected: one win is confirmed."""
        self.service("up", *BROKER)
        wait_for(START_S, "RabbitMQ", self.listening)
        self.service("up", WORKER)
        wait_for(START_S, "the consumer", lambda: self.consumers(1))
        self.service("down", WORKER)
        wait_for(START_S, "the consumer's end", lambda: self.consumers(0))
        user = self.stack.users(1)

        def confirmed():
            got = self.stack.load("win", users=1, first_user=user, connections=1, threads=1, ms=20_000, tickets=1)
            self.count(got)
            return self.answered > 0
        wait_for(START_S, "a first win", confirmed)
        self.check_queue("the first win")

    # ---- drawing ----

    def count(self, got):
        won = got["outcomes"].get("won", 0)
        self.answered += won
        self.unknown += got["sent"] - won

    def unconfirmed(self):
        """Messages that hb-rain says it may have sent again, because their confirmation did not come."""
        wins = 0
        for path in glob.glob(self.stack.path("log/A-rain-1/[@c]*")):
            with open(path, encoding="utf-8", errors="replace") as f:
                wins += sum(json.loads(line)["wins"] for line in f if '"rain.unconfirmed"' in line)
        return wins

    def check_queue(self, what):
        """Each draw answered with a win is one message. One that was told to come again may be one, too, and one that was published
        again is several. A quorum queue tells its length some seconds late."""
        def told():
            self.queued = self.backlog()["queued"]
            return self.answered <= self.queued <= self.answered + self.unknown + self.unconfirmed()
        wait_for(SETTLE_S, f"{what}: as many messages as {self.answered} confirmed wins", told)

    def measure(self, connections):
        for n in range(self.bench.args.rounds):
            self.bench.say(f"Wins, round {n + 1} of {self.bench.args.rounds}")
            for wide in connections:
                for row in self.rows:
                    got = self.bench.measure(row, wide)
                    if row.counts == "won":
                        self.count(got)
                        self.check_queue(row.name)

    def fill(self, wanted):
        self.bench.say(f"Drawing until {wanted} wins wait")
        for _ in range(DRAW_RUNS):
            missing = wanted - self.queued
            if missing <= 0:
                return
            got = self.stack.load("win", users=missing, first_user=self.stack.users(missing), ms=DRAW_MS, tickets=missing,
                                  connections=min(CONNECTIONS, max(missing, 2)))
            self.count(got)
            self.check_queue("drawing")
        fail(f"only {self.queued} of {wanted} wins could be queued")

    # ---- draining ----

    def handled(self):
        """Messages that the consumer says it is done with; those it met again included."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.stack.base + OPS}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return sum(int(float(n)) for n in re.findall(r'^hb_mq_handled_total\{[^}]*result="done"[^}]*\} (\S+)$', text, re.M))

    def recorded(self):
        return int(self.tables.one(self.tables.primary, "SELECT COUNT(*) FROM subsidy")[0])

    def drain(self):
        """Measured from the consumer's first transaction to its last, which say when they began. The database is asked nothing
        before the consumer says that it is done: counting rows meanwhile would cost the primary more than recording them."""
        won, given = self.logged()
        self.bench.say(f"Draining {self.queued} messages")
        began = time.monotonic()
        self.service("up", WORKER)
        wait_for(START_S, "the consumer", lambda: self.consumers(1))
        processes = self.stack.processes()
        before = self.stack.cpu(processes)
        rate = self.backlog()["rate_per_s"]
        wait_for(START_S + 4 * self.queued // rate, f"{len(given)} subsidies and an empty queue",
                 lambda: self.handled() >= len(given) and self.recorded() >= len(given) and self.backlog()["queued"] == 0, 0.25)
        seconds = time.monotonic() - began
        after = self.stack.cpu(processes)
        self.service("down", WORKER)  # done with what it has in hand
        first, last = self.tables.one(self.tables.primary, "SELECT MIN(created_at), MAX(created_at) FROM subsidy")
        later = self.tables.one(self.tables.primary, "SELECT COUNT(*) FROM subsidy WHERE created_at > %s", first)[0]
        per_s = later * 1000 / max(int(last) - int(first), 1)
        self.bench.say(f"  {seconds:.1f} s, {per_s:.0f}/s of {rate}")
        cost = {service: round((after[service] - before[service]) * 1e6 / max(later, 1), 1) for service in after}
        self.bench.say("  µs of processor time a win: " + " + ".join(f"{k} {v}" for k, v in cost.items() if v >= 1))
        return {"seconds": round(seconds, 1), "cpu_us_per_win": cost, "per_s": round(per_s), "rate": rate,
                "drain_vs_rate": round(per_s / rate, 3), **self.check(won, given)}

    def logged(self):
        """hb-rain's log: amount by external order number, of all wins and of those whose message was confirmed."""
        won, given = {}, {}
        for path in glob.glob(self.stack.path("data/wins/A.*.jsonl")):
            with open(path, encoding="utf-8") as f:
                for line in f:
                    e = json.loads(line)
                    number = f"{e['c']}.{e['r']}.{e['k']}.{e['u']}"
                    if {"won": won, "given": given}[e["e"]].setdefault(number, e["a"]) != e["a"]:
                        fail(f"the log has two amounts of {number}")
        return won, given

    def check(self, won, given):
        """On both servers: every confirmed win is there once with its prize, in each of the books, and besides nothing but what
        was drawn, too, and had no answer."""
        self.tables.catch_up()
        messages = self.handled()
        if self.answered > len(given):
            fail(f"{self.answered} wins answered, {len(given)} in hb-rain's log")
        for side, db in (("primary", self.tables.primary), ("replica", self.tables.replica)):
            with db.cursor() as c:
                c.execute("SELECT out_order_no, amount FROM subsidy WHERE issuer = 'rain'")
                there = {number.decode(): fen for number, fen in c.fetchall()}
            lost, strange = sorted(given.items() - there.items()), sorted(there.items() - won.items())
            if lost or strange:
                fail(f"{side}: {len(lost)} wins are no subsidies ({lost[:3]}), {len(strange)} subsidies are no wins ({strange[:3]})")
            want = (len(there), sum(there.values()))
            for name, sql in BOOKS.items():
                found = tuple(map(int, self.tables.one(db, sql)))
                if found != want or messages < want[0]:
                    fail(f"{side}: {name} are {found}, subsidies {want} (how many, fen), of {messages} messages")
            if self.tables.one(db, "SELECT COUNT(*) FROM parked")[0] != 0:
                fail(f"{side}: messages were parked")
        return {"messages": messages, "messages_twice": messages - want[0], "wins": want[0], "fen": want[1],
                "answered": self.answered, "unanswered": want[0] - self.answered}

    # ---- all of it ----

    def run(self, connections, wanted):
        self.bench.say("Starting RabbitMQ")
        self.start_broker()
        self.measure(connections)
        self.fill(wanted)
        result = self.drain()
        return {"wins_per_s": round(self.bench.median(f"win_{max(connections)}")), "drain": result}

    def measure_all(self, began):
        bench = self.bench
        got = self.run(bench.args.connections, bench.args.queued)
        top = max(bench.args.connections)
        result = {
            "ratios": {**bench.ratios(top), "drain_vs_rate": got["drain"]["drain_vs_rate"]},
            **got,
            "per_second": {k: {"median": round(statistics.median(v)), "least": round(min(v)), "most": round(max(v))}
                           for k, v in bench.figures.items()},
            "refused_share": bench.refused,
            "durable": self.tables.check_durable(),
            "claims_checked": self.tables.checked,
            "replica_behind_s": round(self.tables.behind_s, 2),
            "rounds": bench.args.rounds,
            "load_average": os.getloadavg()[0],
            "seconds": round(time.monotonic() - began),
        }
        for name, value in result["ratios"].items():
            bench.say(f"  {name:20} {value:.2f}")
        show_wins(bench, result)
        return result


def show_wins(bench, r):
    """The rate of wins beside that of draws that do not win."""
    d = r["drain"]
    draws = r["per_second"].get(f"draw_{max(bench.args.connections)}")
    bench.say(f"\nDraws at {max(bench.args.connections)} connections: "
              + (f"{draws['median']}/s that do not win, " if draws else "") + f"{r['wins_per_s']}/s that win (confirmed messages)")
    bench.say(f"Drained: {d['messages']} messages in {d['seconds']} s, {d['per_s']}/s, configured {d['rate']}/s: {d['drain_vs_rate']:.2f}")
    bench.say(f"Checked: {d['wins']} wins of {d['fen']} fen ({d['answered']} answered, {d['messages_twice']} messages sent twice) "
              "in hb-rain's log = subsidies = tracked = booked, one by one, on primary and replica; none parked")
