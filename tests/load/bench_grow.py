"""Growth: what a claim costs when the tables hold 10,000, a million and ten million packets, each with a claim already.

The packets are copies of 10,000 real ones under numbers of their own (a seed is bound to its seed_id, so copies share it),
made inside each server by one statement per table. The tables of each size take the place of `packet` and `claim` by turns,
so the rounds are interleaved on one stack. What is claimed are always as many packets, spread evenly over the whole table:
the sizes differ in nothing but the table."""
import os
import statistics
import time

SIZES = (10_000, 1_000_000, 10_000_000)
QUICK_SIZES = (1000, 10_000, 50_000)
ORIGINALS = 10_000
QUICK_ORIGINALS = 1000
SHARES = 100
SLOTS = 1000
FLUSH_S = 300
WRITING = {"innodb_io_capacity_max": 40_000, "innodb_io_capacity": 20_000, "innodb_max_dirty_pages_pct": 0}  # while loading
NUMBER = "(({base} + k.seq * {originals} + o.i) * 100000 + 1000 + o.i % 1000)"


class Growth:
    def __init__(self, bench):
        self.bench, self.stack, self.tables = bench, bench.stack, bench.tables
        self.sizes = bench.args.sizes or (QUICK_SIZES if bench.args.quick else SIZES)
        self.originals = QUICK_ORIGINALS if bench.args.quick else ORIGINALS
        self.figures, self.cpu_us, self.lists = {}, {}, {}
        self.loaded_s = {}

    def columns(self, table):
        with self.tables.primary.cursor() as c:
            c.execute("SELECT column_name FROM information_schema.columns WHERE table_schema = 'hongbao' AND table_name = %s"
                      " AND generation_expression IS NULL ORDER BY ordinal_position", (table,))
            return [name for (name,) in c.fetchall()]

    def make_originals(self):
        """Real packets with one real claim each, numbered from 0 in a table of their own."""
        s, t = self.stack, self.tables
        listed = s.fill("grow", self.originals, SHARES)
        got = s.load("claim", packets=listed, users=self.originals, first_user=s.users(self.originals), connections=64,
                     ms=60_000, tickets=self.originals)
        t.check_claims(got["outcomes"].get("claimed", 0), "claiming the originals")
        t.execute("CREATE TABLE grow_original (i INT UNSIGNED NOT NULL PRIMARY KEY, packet_id BIGINT UNSIGNED NOT NULL UNIQUE)"
                  " SELECT ROW_NUMBER() OVER (ORDER BY packet_id) - 1 AS i, packet_id FROM packet JOIN claim USING (packet_id)")
        if t.one(t.primary, "SELECT COUNT(*) FROM grow_original")[0] != self.originals:
            raise SystemExit("bench: not every original was claimed")
        t.catch_up()

    def copy(self, size):
        """The tables of one size, and the packets of them that are claimed."""
        t, began = self.tables, time.monotonic()
        base = t.one(t.primary, "SELECT next_seq FROM id_block")[0]
        t.execute(f"UPDATE id_block SET next_seq = next_seq + {size}")
        number = NUMBER.format(base=base, originals=self.originals)
        values = {"packet_id": number, "claim_no": number}
        statements = ["SET unique_checks = 0, foreign_key_checks = 0"]
        for table in ("packet", "claim"):
            columns = self.columns(table)
            wanted = ", ".join(values.get(c, f"x.{c}") for c in columns)
            statements += [f"CREATE TABLE {table}_{size} LIKE {table}",
                           f"INSERT INTO {table}_{size} ({', '.join(columns)}) SELECT {wanted}"
                           f" FROM seq_0_to_{size // self.originals - 1} k STRAIGHT_JOIN grow_original o"
                           f" STRAIGHT_JOIN {table} x ON x.packet_id = o.packet_id"]
        every = size // self.originals
        statements += [f"CREATE TABLE grow_chosen_{size} (packet_id BIGINT UNSIGNED NOT NULL PRIMARY KEY)"
                       f" SELECT packet_id FROM (SELECT packet_id, ROW_NUMBER() OVER (ORDER BY packet_id) n FROM packet_{size}) p"
                       f" WHERE n % {every} = 0",
                       "SET unique_checks = 1, foreign_key_checks = 1"]
        t.execute_on_both(*statements)
        self.lists[size] = self.stack.path(f"run/grow_{size}")
        with t.primary.cursor() as c, open(self.lists[size], "w", encoding="utf-8") as f:
            c.execute(f"SELECT packet_id FROM grow_chosen_{size} ORDER BY MD5(packet_id)")
            f.writelines(f"{number}\n" for (number,) in c.fetchall())
        self.loaded_s[size] = round(time.monotonic() - began, 1)
        self.bench.say(f"  {size:9} packets and claims in {self.loaded_s[size]} s")

    def write_fast(self):
        """Both servers write their pages as fast as they can; how they wrote before."""
        was = {name: self.tables.settings(self.tables.primary, "VARIABLES", name)[name] for name in WRITING}
        self.tables.execute_on_both(*(f"SET GLOBAL {name} = {value}" for name, value in WRITING.items()))
        return was

    def settle(self, was):
        """Both servers have written what loading left dirty, and write as before."""
        t = self.tables
        until = time.monotonic() + FLUSH_S
        for connection in (t.primary, t.replica):
            while int(t.settings(connection, "STATUS", "Innodb_buffer_pool_pages_dirty")["Innodb_buffer_pool_pages_dirty"]) > 100:
                if time.monotonic() > until:
                    raise SystemExit("bench: the servers do not get their pages written")
                time.sleep(0.2)
        t.execute_on_both(*(f"SET GLOBAL {name} = {value}" for name, value in reversed(was.items())))

    def swap(self, size, back=False):
        moves = [(f"{table}", f"{table}_was") for table in ("packet", "claim")]
        moves += [(f"{table}_{size}", table) for table in ("packet", "claim")]
        if back:
            moves = [(to, was) for was, to in reversed(moves)]
        self.tables.execute("RENAME TABLE " + ", ".join(f"{was} TO {to}" for was, to in moves))
        self.tables.catch_up()

    def measure(self, size, record):
        bench, t = self.bench, self.tables
        self.swap(size)
        t.count_by(f"SELECT COUNT(*) FROM grow_chosen_{size} JOIN claim USING (packet_id)",
                   f"SELECT SUM(count - remaining_count) FROM grow_chosen_{size} JOIN packet USING (packet_id)")
        users = bench.per_run
        got, spent = self.stack.loaded("claim", packets=self.lists[size], users=users, first_user=self.stack.users(users),
                                       connections=max(bench.args.connections), ms=bench.args.ms, warm_ms=bench.args.warm_ms)
        t.check_claims(got["outcomes"].get("claimed", 0), f"{size} packets")
        self.swap(size, back=True)
        if record:
            self.figures.setdefault(size, []).append(got["rate"] * got["outcomes"].get("claimed", 0) / max(got["answered"], 1))
            for service, us in spent.items():
                self.cpu_us.setdefault(size, {}).setdefault(service, []).append(us)
        bench.say(f"  {size:9} packets {got['rate']:9.0f}/s   p50 {got['p50_us'] / 1000:7.2f} ms   p99 {got['p99_us'] / 1000:7.2f} ms"
                  + ("" if record else "   (not counted)"))

    def measure_all(self, began):
        bench = self.bench
        bench.say("Loading")
        self.make_originals()
        was = self.write_fast()
        for size in self.sizes:
            self.copy(size)
        self.settle(was)
        for size in self.sizes:
            self.measure(size, record=False)
        for n in range(bench.args.rounds):
            bench.say(f"Round {n + 1} of {bench.args.rounds}")
            for size in self.sizes:
                self.measure(size, record=True)
        result = self.report(time.monotonic() - began)
        self.show(result)
        return result

    def report(self, seconds):
        rate = {size: statistics.median(v) for size, v in self.figures.items()}
        cost = {size: {s: round(statistics.median(us), 1) for s, us in v.items() if statistics.median(us) >= 0.05}
                for size, v in self.cpu_us.items()}
        least = self.sizes[0]
        return {
            "ratios": {f"{size}_vs_{least}": round(rate[size] / rate[least], 3) for size in self.sizes[1:]},
            "per_second": {size: {"median": round(rate[size]), "least": round(min(v)), "most": round(max(v))}
                           for size, v in self.figures.items()},
            "cpu_us_per_claim": cost,
            "loaded_s": self.loaded_s,
            "durable": self.tables.check_durable(),
            "claims_checked": self.tables.checked,
            "replica_behind_s": round(self.tables.behind_s, 2),
            "rounds": self.bench.args.rounds,
            "load_average": os.getloadavg()[0],
            "seconds": round(seconds),
        }

    def show(self, r):
        say = self.bench.say
        say(f"\nClaims per second: median (least–most) of {r['rounds']} interleaved rounds")
        for size, f in r["per_second"].items():
            spent = r["cpu_us_per_claim"][size]
            say(f"  {size:9} packets {f['median']:8} ({f['least']}–{f['most']})   {sum(spent.values()):.1f} µs = "
                + " + ".join(f"{k} {v}" for k, v in spent.items()))
        for name, value in r["ratios"].items():
            say(f"  {name:20} {value:.2f}")
