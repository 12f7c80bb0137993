"""What the benchmarks stand on: the stack that ./dev bench made, the programs that load it, and the tables that everything is
checked against."""
import concurrent.futures
import json
import os
import subprocess
import sys
import time

import pymysql

HZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
DURABLE = {
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "rpl_semi_sync_master_enabled": "ON",
    "rpl_semi_sync_master_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_master_wait_no_slave": "ON",
}
REPLICA_DURABLE = {"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}
DB_PORT = {"east": 20, "west": 30}
ROWLOCK = 4  # offset of its door
CATCH_UP_S = 120


def fail(why):
    sys.exit(f"bench: {why}")


class Stack:
    def __init__(self, folder, build):
        self.folder, self.build = folder, build
        self.base = int(self.read("base"))
        self.user = 0

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read().strip()

    def path(self, name):
        return os.path.join(self.folder, name)

    def db(self, site):
        return pymysql.connect(host="127.0.0.1", port=self.base + DB_PORT[site], user="hb_ctl",
                               password=self.read("secrets/db.hb_ctl"), database="hongbao", autocommit=True)

    def users(self, count):
        """Users who have claimed nothing yet."""
        self.user += count
        return self.user - count

    def run(self, *argv):
        with open(self.path("log/bench"), "ab") as log:
            done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, check=False, text=True, stderr=log)
        if done.returncode != 0:
            fail(f"{os.path.basename(argv[0])} failed; see {self.path('log/bench')}")
        return done.stdout

    def sql(self, *argv):
        return self.run(os.path.join(self.build, "hb-bench-sql"), "--config", self.path("etc/hongbao.cfg"), "--cell", "A",
                        "--site", "east", "--instance", "90", "--live", self.path("live/east/A.cfg"), *argv)

    def fill(self, name, packets, shares):
        """New packets; the file of their numbers."""
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
        """Process ids by the name of their service: of nginx at east the master and its workers, of any other the one that runit
        supervises. What a server starts for a moment, as RabbitMQ does, is nobody's."""
        master = self.read("run/nginx-east.pid")
        with open(f"/proc/{master}/task/{master}/children", encoding="utf-8") as f:
            found = {"nginx": [int(master), *map(int, f.read().split())]}
        for name in os.listdir(self.path("sv")):
            pid = "" if name.startswith("nginx") else self.read(f"sv/{name}/supervise/pid")
            if pid:
                found[name] = [int(pid)]
        return found

    @staticmethod
    def fields(name, pid, file):
        """Of a process that must be there: one that is not has died, or its service was stopped."""
        try:
            with open(f"/proc/{pid}/{file}", encoding="utf-8") as f:
                return f.read().rsplit(")", 1)[-1].split()
        except (FileNotFoundError, ProcessLookupError):
            fail(f"{name}, process {pid}, ended while it was measured")

    def cpu(self, processes):
        """Seconds of processor time by service."""
        spent = {}
        for name, pids in processes.items():
            for pid in pids:
                field = self.fields(name, pid, "stat")
                spent[name] = spent.get(name, 0) + (int(field[11]) + int(field[12])) / HZ
        return spent

    def loaded(self, kind, port=0, **options):
        """As load, and microseconds of processor time per answer, by service."""
        processes = self.processes()
        before = self.cpu(processes)
        got = self.load(kind, port, **options)
        after = self.cpu(processes)
        spent = {service: (after[service] - before[service]) * 1e6 for service in after}
        spent["hb-load"] = got["cpu_us"]
        return got, {service: us / max(got["answered"], 1) for service, us in spent.items()}

    def memory(self):
        """Resident MB by service."""
        sizes = {}
        for name, pids in self.processes().items():
            for pid in pids:
                sizes[name] = sizes.get(name, 0) + int(self.fields(name, pid, "statm")[1]) * PAGE / 1e6
        return {name: round(size, 1) for name, size in sorted(sizes.items())}


class Tables:
    """What primary and replica hold; every number of claims is checked here."""
    CLAIMS = "SELECT COUNT(*) FROM claim"
    TAKEN = "SELECT COALESCE(SUM(count - remaining_count), 0) FROM packet"

    def __init__(self, stack):
        self.primary, self.replica = stack.db("east"), stack.db("west")
        self.both = concurrent.futures.ThreadPoolExecutor(2)
        self.behind_s, self.checked = 0.0, 0
        self.count_by(self.CLAIMS, self.TAKEN)

    def count_by(self, claims, taken):
        """The queries for claim rows, and for shares that packets say are taken; from what there is now on."""
        self.queries = (claims, taken)
        self.recount()

    def recount(self):
        """From what there is now on: after claims whose outcome their callers were not told."""
        self.catch_up()
        self.rows = self.counted(self.primary)

    @staticmethod
    def one(connection, sql, *args):
        with connection.cursor() as c:
            c.execute(sql, args)
            return c.fetchone()

    def execute(self, sql, on=None):
        with (on or self.primary).cursor() as c:
            c.execute(sql)

    def execute_on_both(self, *statements):
        """On each server by itself, at once, and in no binlog."""
        def run(connection):
            for sql in ("SET sql_log_bin = 0", *statements, "SET sql_log_bin = 1"):
                self.execute(sql, connection)
        list(self.both.map(run, (self.primary, self.replica)))

    @staticmethod
    def settings(connection, what, like):
        with connection.cursor() as c:
            c.execute(f"SHOW GLOBAL {what} LIKE %s", (like,))
            return dict(c.fetchall())

    def counted(self, connection):
        return tuple(int(self.one(connection, sql)[0]) for sql in self.queries)

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
        if int(status["Rpl_semi_sync_master_no_tx"]) > 0:
            fail("there were commits that no replica acknowledged")
        return {**{name: is_now[name] for name in DURABLE}, **{f"replica_{name}": replica[name] for name in REPLICA_DURABLE},
                "semi_sync_replicas": int(status["Rpl_semi_sync_master_clients"]), "commits_without_acknowledgement": 0}

    def catch_up(self):
        began = time.monotonic()
        at = self.one(self.primary, "SELECT @@gtid_binlog_pos")[0]
        if self.one(self.replica, "SELECT MASTER_GTID_WAIT(%s, %s)", at, CATCH_UP_S)[0] != 0:
            fail("the replica did not catch up")
        self.behind_s = max(self.behind_s, time.monotonic() - began)

    def check_claims(self, answered, what):
        """Claims answered since the last check are the rows added, on both servers."""
        self.catch_up()
        on_primary, on_replica = self.both.map(self.counted, (self.primary, self.replica))
        added = on_primary[0] - self.rows[0]
        taken = on_primary[1] - self.rows[1]
        self.rows = on_primary
        self.checked += answered
        if not answered == added == taken or on_replica != on_primary:
            fail(f"{what}: {answered} answers, {added} rows, {taken} shares taken; replica {on_replica}, primary {on_primary}")
