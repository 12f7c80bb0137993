"""What limits do: ./dev bench overload and ./dev bench limits, on a stack made for it (units/local/bench.sh).

overload: the limit of claims is set to a quarter of the measured peak, and three times that is offered for a minute. limits: claims while
claim details get no answer (hb-query is stopped, which is all that they need), and in the same seconds before.
Exit 1 when what is asked for is not reached; --quick only shows that it works."""
import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

from bench_stack import Stack, Tables, fail

PACKETS = 997      # a prime, so that a user who comes again meets another packet
CLAIMS_PER_PACKET = 15  # of lib/domain/capacity.def
ACCEPTED = 0.8     # of the limit, at least
P99_US = 100_000   # of a claim that was let in
REFUSED_US = 50_000
GROWTH_MB = 200    # of all programs and nginx together
AFTER_RATIO = 2    # p99 two seconds after, by p99 before
SLOW_RATIO = 1.5


class Limits:
    def __init__(self, args):
        self.args, self.stack = args, Stack(args.stack, args.build)
        self.tables = Tables(self.stack)
        self.claimed = 0

    def claims(self, packets, seconds, rate=0, warm_ms=500, connections=256):
        users = min(max(int((rate or 80_000) * (seconds + 2)), 1000), 400_000)
        got = self.stack.load("claim", packets=packets, users=users, first_user=self.stack.users(users), reuse=1, rate=int(rate),
                              connections=connections, warm_ms=warm_ms, ms=int(seconds * 1000))
        if got["broken"]:
            fail(f"{got['broken']} connections broke")
        self.claimed += got["outcomes"].get("claimed", 0)
        return got

    def configure(self, text):
        """nginx with these further lines of hongbao.cfg."""
        path = self.stack.path("etc/hongbao.cfg")
        with open(path, encoding="utf-8") as f:
            lines = [line for line in f if not line.startswith(("capacity:", "limits:"))]
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(lines) + text)
        old = set(self.stack.processes()["nginx"][1:])
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        subprocess.run([os.path.join(root, "dev"), "hbctl", "nginx", "reload"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "HB_NAME": os.path.basename(self.args.stack), "HB_BASE": str(self.stack.base)})
        # All of the old workers are gone: one would close the connections that it has taken.
        while not (now := set(self.stack.processes()["nginx"][1:])) or now & old:
            time.sleep(0.05)

    def packets(self, name, claims):
        return self.stack.fill(name, PACKETS, math.ceil(claims / PACKETS) + 100)

    def watch_memory(self, run):
        """What `run` returns, and the most memory that all of them had meanwhile, MB."""
        done, most = threading.Event(), [0]

        def look():
            while not done.wait(0.5):
                most[0] = max(most[0], self.memory())
        hand = threading.Thread(target=look)
        hand.start()
        try:
            return run(), most[0]
        finally:
            done.set()
            hand.join()

    def memory(self):
        return sum(mb for name, mb in self.stack.memory().items() if name.startswith(("A-core", "A-query", "A-rain", "nginx")))

    def overload(self):
        seconds, short = (3, 2) if self.args.quick else (60, 5)
        peak = self.claims(self.packets("peak", 80_000 * short), short)["claimed_rate"]
        per_packet = max(int(peak / 4 / CLAIMS_PER_PACKET), 1)
        limit = per_packet * CLAIMS_PER_PACKET
        self.configure(f"capacity: {{ c2c_per_s = {per_packet}; b2c_per_s = 0; }};\n"
                       "limits: { user_percent = 100000; address_percent = 100; headroom_percent = 100; least_per_s = 1; burst_ms = 100; };\n")
        packets = self.packets("overload", limit * (seconds + 4 * short + 10))
        before, memory = self.claims(packets, short, limit / 2), self.memory()
        during, most = self.watch_memory(lambda: self.claims(packets, seconds, 3 * limit, connections=512))
        after = self.claims(packets, short, limit / 2, warm_ms=2000)
        self.tables.check_claims(self.claimed, "claims")
        refused = during["status"].get("429", 0)
        row = {"peak_per_s": round(peak), "limit_per_s": limit, "offered_per_s": round(during["sent"] / (during["seconds"] + 0.5)), "seconds": seconds,
               "accepted_vs_limit": round(during["claimed_rate"] / limit, 3), "refused": refused, "other": during["sent"] - refused - during["status"].get("200", 0),
               "p99_us": {"before": before["served_p99_us"], "accepted": during["served_p99_us"], "refused": during["refused_p99_us"], "after": after["served_p99_us"]},
               "refused_before_and_after": before["status"].get("429", 0) + after["status"].get("429", 0),
               "memory_mb": {"before": round(memory), "most": round(most)}, "load": os.getloadavg()[0]}
        row["checks"] = {
            "accepted": row["accepted_vs_limit"] >= ACCEPTED, "refused": refused > 0 and row["other"] == 0,
            "waits": during["served_p99_us"] <= P99_US and during["refused_p99_us"] <= REFUSED_US,
            "memory": most - memory <= GROWTH_MB,
            "after": after["served_p99_us"] <= max(AFTER_RATIO * before["served_p99_us"], 10_000) and not row["refused_before_and_after"]}
        return row

    def slow(self):
        seconds, rounds = (2, 1) if self.args.quick else (15, self.args.rounds)
        peak = self.claims(self.packets("peak", 80_000 * 2), 2)["claimed_rate"]
        packets, ratios, told = self.packets("slow", peak / 5 * (seconds + 1) * 2 * (rounds + 1)), [], []
        for _ in range(rounds):
            before = self.beside(packets, seconds, peak / 5)
            for pid in self.stack.processes()["A-query-1"]:
                os.kill(pid, signal.SIGSTOP)
            try:
                during = self.beside(packets, seconds, peak / 5)
            finally:
                for pid in self.stack.processes()["A-query-1"]:
                    os.kill(pid, signal.SIGCONT)
            told.append({"before_us": before["served_p99_us"], "during_us": during["served_p99_us"], "details_unanswered": during["unanswered"],
                         "claims_not_served": before["sent"] + during["sent"] - before["status"].get("200", 0) - during["status"].get("200", 0)})
            ratios.append(during["served_p99_us"] / max(before["served_p99_us"], 1))
        self.tables.check_claims(self.claimed, "claims")
        row = {"claims_per_s": round(peak / 5), "seconds": seconds, "rounds": told, "p99_ratio": round(statistics.median(ratios), 2), "load": os.getloadavg()[0]}
        row["checks"] = {"p99": row["p99_ratio"] <= SLOW_RATIO, "served": all(r["claims_not_served"] == 0 for r in told),
                         "details were slow": all(r["details_unanswered"] > 0 for r in told)}
        return row

    def beside(self, packets, seconds, rate):
        """Claims while 200 users a second ask for the details of packets."""
        result = {}

        def details():
            result["details"] = self.stack.load("details", packets=packets, users=5000, first_user=self.stack.users(5000), reuse=1, rate=200,
                                                connections=512, warm_ms=0, ms=int(seconds * 1000) + 1000)
        hand = threading.Thread(target=details)
        hand.start()
        got = self.claims(packets, seconds, rate)
        hand.join()
        answered = result["details"]["status"]
        got["unanswered"] = result["details"]["sent"] - answered.get("200", 0) - answered.get("403", 0)
        return got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overload", "limits"))
    parser.add_argument("--stack", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the stack (of ./dev)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bench = Limits(args)
    row = bench.overload() if args.what == "overload" else bench.slow()
    print(json.dumps(row) if args.json else json.dumps(row, indent=1))
    failed = [name for name, good in row["checks"].items() if not good]
    if failed and not args.quick:
        sys.exit(f"bench {args.what}: not reached: {', '.join(failed)}")


main()
