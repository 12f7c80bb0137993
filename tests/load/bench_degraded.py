"""./dev bench degraded: b2c while c2c is down. Rounds with everything well take turns with rounds in which finance is away and the flag
c2c_send is off. In both, c2c sends come on the same schedule, and b2c envelopes are sent as fast as some connections can; what is compared is
how many a second, and how many claims a second are opened beside them by others."""
import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import time

from bench_finance import SIM, Finance
from bench_stack import fail

C2C_RATE = 50
CONNECTIONS = {"b2c": 16, "claim": 16}
B2C_MOST = 4000  # subsidies for a second
KEPT = {"b2c": "201", "claim": "200"}
DEGRADED = "degraded"
SHARES = 100


class Degraded(Finance):
    def hbctl(self, *words):
        done = subprocess.run([os.path.join(self.stack.build, "hbctl"), "flags", *words], check=False, capture_output=True, text=True,
                              env={**os.environ, "HB_CONFIG": self.stack.path("etc/hongbao.cfg"), "HB_STATE": self.stack.folder})
        if done.returncode != 0:
            fail(f"hbctl flags {' '.join(words)}: exit {done.returncode}: {done.stderr or done.stdout}")

    def prepare(self):
        self.wins.start_broker()
        from_bench = ("relay", "transfer", "credit", "credited", "callback", "check", "inbox", "sweep")
        self.wins.service("up", SIM, *(f"A-worker-{role}" for role in from_bench))
        self.wins.fill(int(B2C_MOST * self.seconds() * 2 * self.args.rounds))
        self.wins.drain()
        with self.tables.primary.cursor() as c:
            c.execute("SELECT subsidy_id, uid FROM subsidy ORDER BY subsidy_id")
            self.subsidies = c.fetchall()

    def seconds(self):
        return (self.args.ms + self.args.warm_ms) / 1000

    def to(self, state):
        if state == DEGRADED:
            self.hbctl("set", "c2c_send", "off", "--reason", "finance is away")
            self.wins.service("down", SIM)
        else:
            self.wins.service("up", SIM)
            self.hbctl("clear", "c2c_send", "--reason", "finance is back")

    def phase_of(self, state):
        self.runs += 1
        most = int(B2C_MOST * self.seconds())
        spend, self.subsidies = self.subsidies[:most], self.subsidies[most:]
        c2c = int(C2C_RATE * self.seconds()) + 2
        options = {
            "b2c": {"packets": self.list_of("subsidies", spend), "users": len(spend)},
            "claim": {"packets": self.stack.fill(f"degraded-{self.runs}", 1000, SHARES), "users": 1000 * SHARES},
            "c2c": {"rate": C2C_RATE, "users": c2c, "connections": 32},
        }

        def load(kind):
            return self.stack.load(kind, **{"connections": CONNECTIONS.get(kind), "first_user": first[kind], "threads": 1, "ms": self.args.ms,
                                            "warm_ms": self.args.warm_ms, "key": f"degraded-{self.runs}-", **options[kind]})

        first = {kind: self.stack.users(o["users"]) for kind, o in options.items()}
        with concurrent.futures.ThreadPoolExecutor(len(options)) as pool:
            got = dict(zip(options, pool.map(load, options)))
        for kind, good in KEPT.items():
            if set(got[kind]["status"]) != {good}:
                fail(f"{state}: {kind}: {got[kind]['status']}")
            if got[kind]["ran_out"]:
                fail(f"{state}: {kind}: all that was prepared is used up, the rate would be too low")
        told = got["c2c"]["status"]
        if set(told) != ({"503"} if state == DEGRADED else {"201"}):
            fail(f"{state}: c2c sends: {told}")
        return got

    def measure(self):
        rates = {state: {kind: [] for kind in KEPT} for state in ("well", DEGRADED)}
        for n in range(self.args.rounds):
            self.say(f"Round {n + 1} of {self.args.rounds}")
            for state in ("well", DEGRADED) if n % 2 == 0 else (DEGRADED, "well"):
                self.to(state)
                got = self.phase_of(state)
                for kind in KEPT:
                    rates[state][kind].append(got[kind]["rate"])
                self.say(f"  {state:8}" + "".join(f"   {kind} {rates[state][kind][-1]:.0f}/s" for kind in KEPT) + f"   c2c {got['c2c']['status']}")
                self.to("well")
                self.settled(state)
        return {state: {kind: round(statistics.median(v)) for kind, v in kinds.items()} for state, kinds in rates.items()}


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench degraded")
    p.add_argument("--stack", required=True, help=argparse.SUPPRESS)
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    p.add_argument("--rounds", type=int, default=6, help="of both states each; 5 at least for a figure")
    p.add_argument("--json", action="store_true", help="one object on standard output")
    p.add_argument("--keep", action="store_true", help="leave the stack running")
    args = p.parse_args()
    args.ms, args.warm_ms = 3000, 500
    return args


def main():
    began = time.monotonic()
    d = Degraded(arguments())
    durable = d.tables.check_durable()
    d.prepare()
    per_second = d.measure()
    result = {"ratios": {f"{kind}_degraded_vs_well": round(per_second[DEGRADED][kind] / per_second["well"][kind], 2) for kind in KEPT},
              "per_second": per_second, "durable": durable, "rounds": d.args.rounds, "load_average": os.getloadavg()[0], "seconds": round(time.monotonic() - began)}
    for name, value in result["ratios"].items():
        d.say(f"  {name:24} {value:.2f}")
    d.say(f"{result['seconds']} s, load average {result['load_average']:.1f}")
    if d.args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
