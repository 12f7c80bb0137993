#!/usr/bin/python3
"""The campaign of ./dev chaos isolation: cell B serves at a fifth of its peak while its neighbour, a node of what both share, or a front
door fails; its p99 during each fault against its p99 in the same seconds before.

usage: isolation.py --stack FOLDER --build FOLDER [--runs N] [--seconds S] [--only NAME,…] [--short] [--json]
The stack has HB_NODES=3. The peak here is what B carries: claims of a burst over the time until all of their transfers are done. The limit of
claims of each cell is a quarter of that, as in ./dev bench overload: both share this machine. B's load are claims of its packets by users of both cells, from hb-load with
a schedule: a late answer counts from when it was due. Exit 1 when a claim got no proper answer, when what B's claims bring about does not get
done, or (not with --short, whose few seconds say nothing of a p99) when the median of the ratios of a fault is above 1.5."""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))
import books  # noqa: E402
import hb  # noqa: E402

RATIO = 1.5
SHARES = 2000
PEAK_S = 4
OVERLOAD = 3
AT_LIMIT = 'A-at-three-times-its-limit'  # and at its limit before: what A's claims take of the processors that both share is no fault
CLAIMS_PER_PACKET = 15  # of lib/domain/capacity.def
LIMITS = 'limits: { user_percent = 100000; address_percent = 100; headroom_percent = 100; least_per_s = 1; burst_ms = 100; };'
QUIET_S = 120
# What an answer of 503 or 429 is worth here: it was not served.
SERVED = ('claimed', 'already_claimed')


class Bench:
    def __init__(self, stack, build, seconds):
        self.stack, self.build, self.seconds = stack, Path(build), seconds
        self.user, self.packets, self.lock = 0, {}, threading.Lock()

    def run(self, *argv):
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f'isolation: {argv[0]}: {done.stderr[-500:]}')
        return done.stdout

    def fill(self, cell, packets):
        site, path = self.stack.active(cell), self.stack.folder / f'run/isolation.{cell}'
        self.run(self.build / 'hb-bench-sql', '--config', self.stack.folder / 'etc/hongbao.cfg', '--cell', cell, '--site', site, '--instance', 90,
                 '--live', self.stack.folder / f'live/{site}/{cell}.cfg', 'fill', packets, SHARES, path)
        self.packets[cell] = path

    def load(self, cell, seconds, rate=0, connections=32, door=0):
        """hb-load's result; rate 0: as fast as it goes."""
        users = int((rate or 6000) * (seconds + 2)) + 1000
        with self.lock:
            first, self.user = self.user, self.user + users
        return json.loads(self.run(self.build / 'hb-load', '--kind', 'claim', '--port', self.stack.doors[door]['front_port'], '--keys',
                                   self.stack.folder / 'secrets/session.keys', '--packets', self.packets[cell], '--users', users, '--first-user', first,
                                   '--rate', int(rate), '--connections', connections, '--threads', 1, '--warm-ms', 500, '--ms', int(seconds * 1000)))


    def carried(self):
        began = time.monotonic()
        claimed = self.load('B', PEAK_S)['outcomes']['claimed']
        drained(self)
        return claimed / (time.monotonic() - began)


def limit_claims(stack, limit):
    """Of nginx, for each cell; what it is in whole packets."""
    packets = max(int(limit / CLAIMS_PER_PACKET), 1)
    path = stack.folder / 'etc/hongbao.cfg'
    lines = [line for line in path.read_text().splitlines() if not line.startswith(('capacity:', 'limits:'))]
    path.write_text('\n'.join([*lines, f'capacity: {{ c2c_per_s = {packets}; b2c_per_s = 0; }};', LIMITS]) + '\n')
    subprocess.run([hb.ROOT / 'dev', 'hbctl', 'nginx', 'reload'], check=True, stdout=subprocess.DEVNULL, env={**os.environ, 'HB_NAME': stack.folder.name})
    return packets * CLAIMS_PER_PACKET


def bad(result):
    """Requests that were not served."""
    return result['sent'] - sum(n for outcome, n in result['outcomes'].items() if outcome in SERVED)


def killed(service):
    def begin(bench):
        bench.stack.kill(service)
    return begin, lambda bench: None


def stopped(service):
    def begin(bench):
        bench.pid = bench.stack.kill(service, signal.SIGSTOP)
    return begin, lambda bench: os.kill(bench.pid, signal.SIGCONT)


def busy_beside(bench):
    """A is asked by others meanwhile, who get no answer in time."""
    try:
        bench.beside = bench.load('A', bench.seconds, rate=bench.fifth, connections=256)
    except SystemExit as e:
        bench.beside = str(e)


def with_load_on_a(fault):
    begin, end = fault

    def begin_both(bench):
        begin(bench)
        bench.hand = threading.Thread(target=busy_beside, args=(bench,))
        bench.hand.start()

    def end_both(bench):
        end(bench)
        bench.hand.join()
    return begin_both, end_both


def load_on_a(times):
    """Of what its limit lets in."""
    def begin(bench):
        def run():
            bench.beside = bench.load('A', bench.seconds, rate=times * bench.limit, connections=512)
        bench.hand = threading.Thread(target=run)
        bench.hand.start()
    return begin, lambda bench: bench.hand.join()


def faults(stack):
    primary = f'A-db-{stack.active("A")}'
    rows = {'primary-of-A-stopped': with_load_on_a(stopped(primary)), AT_LIMIT: load_on_a(OVERLOAD)}
    for kind in ('rabbitmq', 'etcd'):
        for site in ('east', 'west', 'north'):
            rows[f'{kind}-{site}-killed'] = killed(f'{kind}-{site}')
    rows['etcd-east-stopped'] = stopped('etcd-east')
    rows['nginx-east-down'] = (lambda bench: bench.stack.sv('down', 'nginx-east'), lambda bench: bench.stack.sv('up', 'nginx-east'))
    return rows


SHORT = ('primary-of-A-stopped', 'rabbitmq-west-killed', 'etcd-north-killed', 'nginx-east-down')


def one(bench, name, fault):
    begin, end = fault
    # Clients of a dead front door go to the other one: B is measured there.
    door = 1 if name.startswith('nginx') else 0
    at_limit = load_on_a(1) if name == AT_LIMIT else (lambda bench: None,) * 2
    at_limit[0](bench)
    before = bench.load('B', bench.seconds, rate=bench.fifth, door=door)
    at_limit[1](bench)
    begin(bench)
    try:
        during = bench.load('B', bench.seconds, rate=bench.fifth, door=door)
    finally:
        end(bench)
    all_run(bench)
    return {'fault': name, 'p99_before_us': before['p99_us'], 'p99_during_us': during['p99_us'],
            'ratio': round(during['p99_us'] / max(before['p99_us'], 1), 2), 'sent': during['sent'], 'unserved': bad(during),
            'unserved_before': bad(before), 'driver_cpu_share': round(during['cpu_us'] / 1e6 / during['seconds'], 3), 'load': os.getloadavg()[0]}


def all_run(bench):
    """Every node is back before the next one is harmed: two of three would be another campaign."""
    stack = bench.stack
    for service in sorted(s.name for s in (stack.folder / 'sv').iterdir() if s.name.startswith(('rabbitmq', 'etcd', 'nginx'))):
        stack.wait(lambda service=service: stack.pid(service), f'{service} is back', 60)
    for node in stack.topology['mq'] + [{'port': d['front_port']} for d in stack.doors]:
        stack.wait(lambda node=node: hb.listens(node['port']), f'{node["port"]} listens', 120)
    for url in stack.topology['etcd'].split(','):
        stack.wait(lambda url=url: hb.listens(int(url.rsplit(':', 1)[1])), f'{url} listens', 60)


def drained(bench):
    """What has not been done of what B's claims bring about, when it is quiet."""
    end = time.monotonic() + QUIET_S * hb.SLOW
    while (left := books.undone(bench.stack, 'B')) and time.monotonic() < end:
        time.sleep(0.5)
    return left


def tell(row, as_json):
    if as_json:
        print(json.dumps(row), flush=True)
        return
    print(f'{"ok" if row["ok"] else "FAILED"} {row["fault"]}: p99 {row["p99_before_us"] / 1000:.1f} -> {row["p99_during_us"] / 1000:.1f} ms '
          f'(x{row["ratio"]:.2f}), {row["unserved"]} of {row["sent"]} not served, driver {row["driver_cpu_share"] * 100:.1f} % of a processor, '
          f'load {row["load"]:.1f}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--stack', required=True)
    parser.add_argument('--build', required=True)
    parser.add_argument('--runs', type=int, default=1)
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--only')
    parser.add_argument('--short', action='store_true')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    stack = hb.Stack(args.stack)
    seconds = args.seconds or (4 if args.short else 60)
    bench = Bench(stack, args.build, seconds)
    rows = faults(stack)
    names = args.only.split(',') if args.only else list(SHORT if args.short else rows)
    bench.fill('A', 40)
    bench.fill('B', 40)
    carried = bench.carried()
    bench.fifth = max(carried / 5, 10)
    bench.limit = limit_claims(stack, max(carried / 4, 30))
    bench.fill('B', int(bench.fifth * seconds * 2 * len(names) * args.runs / SHARES * 1.5) + 10)
    bench.fill('A', int((2 * bench.limit + bench.fifth) * seconds * args.runs / SHARES * 1.5) + 10)
    if not args.json:
        print(f'B carries {carried:.0f} claims/s, load {bench.fifth:.0f}/s, limit {bench.limit}/s, {seconds:g} s each', flush=True)
    ratios, failed = {}, False
    for _ in range(args.runs):
        for name in names:
            row = one(bench, name, rows[name])
            ratios.setdefault(name, []).append(row['ratio'])
            row['ok'] = not row['unserved'] and (args.short or statistics.median(ratios[name]) <= RATIO)
            failed = failed or not row['ok']
            tell(row, args.json)
    left = drained(bench)
    row = {'after': 'quiet', 'undone': left, 'median_ratio': {n: statistics.median(r) for n, r in ratios.items()}}
    print(json.dumps(row) if args.json else f'{"FAILED" if left else "ok"} afterwards: {left} messages or transfers of B not done')
    return 1 if failed or left else 0


if __name__ == '__main__':
    sys.exit(main())
