#!/usr/bin/python3
"""The campaign of ./dev chaos cells: a cell fails under load, its traffic moves, it comes home; nothing acknowledged is lost.

usage: cells.py --stack FOLDER [--runs N] [--seed S] [--fault NAME] [--short] [--calm] [--json]     (the stack: HB_NETNS=1; --short: no peak, no load of hb-load;
--calm: a quarter of the steady load, so that the machine has little to do before the fault)
Run i has the seed S + i: which cell, which fault and when come from it alone; which of them a thread meets does not. A run that finds something
ends the campaign, and leaves everything as it is. Exit 1 then, 3 when the stack itself does not come back."""
import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))
import hb  # noqa: E402

import books  # noqa: E402
import cells_check as check  # noqa: E402
import cells_direct as direct  # noqa: E402
import cells_faults as faults  # noqa: E402
import cells_load as load  # noqa: E402
import cells_other as other  # noqa: E402
import netns  # noqa: E402

WRITES_S, READY_S, SETTLE_S = 30, 60, 20
GOAL_S, GOAL_RATIO = 3.0, 1.5


def hbctl(stack, *words, env='', seconds=120):
    """Exit code and output."""
    done = subprocess.run(['/bin/sh', '-c', f'. "$1/etc/env"; shift; exec env {env} hbctl "$@"', 'sh', str(stack.folder), *words],
                          capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout + done.stderr


def status(stack):
    code, text = hbctl(stack, '-o', 'json', 'cells', 'status')
    return json.loads(text) if code == 0 else None


def whole(stack):
    """Every cell writable, and all its members acknowledge (which they do only when the record counts them)."""
    for cell in status(stack) or [{}]:
        members = cell.get('members', [])
        clients = sum(m.get('semi_sync_clients') or 0 for m in members if m['role'] == 'primary')
        if not cell.get('ready') or cell['protection'].lower() != 'protected' or clients < len(members) - 1:
            return False
    return True


class Run:
    def __init__(self, stack, seed, fault, rates, calm):
        self.stack, self.seed, self.rng, self.rates, self.calm = stack, seed, random.Random(seed), rates, calm
        self.name = fault or self.rng.choice(sorted(faults.FAULTS))
        self.fault = faults.FAULTS[self.name]
        self.cell = self.rng.choice(sorted(stack.cells))
        self.other = next(c for c in sorted(stack.cells) if c != self.cell)
        self.net, self.found, self.times, self.log = netns.Net(stack), [], {}, []
        self.out = {'seed': seed, 'fault': self.name, 'cell': self.cell, 'to_write_s': [], 'codes': {}}

    def scene(self):
        home = self.stack.active(self.cell)
        sites = [m['site'] for m in self.stack.cells[self.cell]['members'] if m['site'] != home]
        return faults.Scene(self.stack, self.net, self.rng, self.cell, home, sites)

    def command(self, verb, *words, env=''):
        began = time.monotonic()
        code, text = hbctl(self.stack, 'cells', verb, self.cell, *words, '--reason', f'chaos {self.seed}', env=env)
        self.log.append(f'$ hbctl cells {verb} {self.cell} {" ".join(words)} {env} ({time.monotonic() - began:.2f} s): exit {code}\n{text}')
        return code

    def must(self, verb, *words):
        code = self.command(verb, *words)
        if code != 0:
            self.found.append(f'L hbctl cells {verb} {" ".join(words)}: exit {code}: {self.log[-1][-700:]}')
        return code == 0

    def fail_over(self):
        if not self.fault.dies:
            return self.must('failover', '--confirm', self.cell, *(['--force'] if self.name == 'alive' else []))
        for step in faults.STEPS:
            code = self.command('failover', '--confirm', self.cell, env=f'HB_CTL_DIE_AFTER={step}')
            if code not in (137, -9, 0):
                self.found.append(f'L hbctl cells failover, to die behind {step}: exit {code}: {self.log[-1][-500:]}')
                return False
            if ' done ' in self.log[-1]:  # a kill that took long is said last of all
                return True
        return self.command('failover', '--confirm', self.cell) in (0, 3) or self.must('failover', '--confirm', self.cell)

    def readmit(self, site):
        """A primary that its supervisor brought back before the failover has made its tail its own, and must be rebuilt then."""
        code = self.command('readmit', site)
        if code == 4 and 'rebuild' in self.log[-1] and self.fault.rebuilds:
            self.out['rebuilt'] = self.out.get('rebuilt', 0) + 1
            return self.must('replicate', 'rebuild', site, '--confirm', site)
        if code != 0:
            self.found.append(f'L hbctl cells readmit {site}: exit {code}: {self.log[-1][-700:]}')
        return code == 0

    def hit(self, scene):
        """The fault, the command, the first write; then whatever the fault has after it."""
        began = time.monotonic()
        self.fault.before(scene)
        told = time.monotonic()
        prober = load.Prober(self.load, self.cell, self.rng)
        try:
            return self.hit_and_see(scene, began, told)
        finally:
            prober.stop()

    def hit_and_see(self, scene, began, told):
        if not self.fault.in_place and not self.fail_over():
            return False
        done = time.monotonic()
        since = done if self.name == 'alive' else told  # who is alive still tells what was asked before its death
        try:
            first = self.stack.wait(lambda: self.load.first(self.cell, since), 'a write succeeds', WRITES_S, 0.02)
        except AssertionError:
            self.found.append(f'L no write of cell {self.cell} for {WRITES_S} s')
            return False
        self.out['to_write_s'].append(round(first - told, 2))
        self.out['command_s'] = round(done - told, 2)
        for code, n in self.load.codes(self.cell, began, first).items():
            self.out['codes'][code] = self.out['codes'].get(code, 0) + n
        scene.failed_over = None if self.fault.in_place else done
        self.fault.after(scene)
        if getattr(scene, 'stale', None):
            self.found.append(f'R cell {self.cell}: hb-query at {scene.home} answered while cut off: {scene.stale}')
        return True

    def round(self):
        scene = self.scene()
        clients = []
        stragglers = [] if self.fault.in_place else [direct.Straggler(scene, self.load, self.seed)]
        if self.fault.directly:
            clients = [direct.Direct(scene, self.load, self.stack.member(self.cell, scene.home)['core_ports'], 'a program', f'{self.seed} direct')]
        try:
            time.sleep(self.rng.uniform(0.3, 1.0))
            ok = self.hit(scene)
            for c in clients:
                c.stop()
            clients = []
            if ok and not self.fault.in_place:
                ok = self.readmit(scene.home) and self.must('failback')
            if ok and not self.fault.in_place:
                time.sleep(0.5)  # the straggler's database is the primary again, at an epoch that it does not know
        finally:
            faults.undo(scene)
            self.net.heal()
            for c in clients + stragglers:
                c.stop()
        self.found += check.too_late(self.load, self.cell, getattr(scene, 'failed_over', None))
        return ok

    def go(self):
        began = time.monotonic()
        mark = books.mark(self.stack)
        self.load = load.Load(self.stack, self.seed, self.calm)
        bystander = other.Other(self.stack, self.other, round(self.rates[self.other] * 10)) if self.rates else None
        self.load.start()
        try:
            before = other.read(bystander.start(other.BEFORE_MS, self.rates[self.other])) if bystander else None
            during = bystander.start(other.DURING_MS, self.rates[self.other]) if bystander else None
            ok = self.round() and (not self.fault.twice or self.round())
            if bystander:
                self.bystanders(before, other.read(during))
        finally:
            self.load.stop()
        if bystander:
            bystander.expire(0)
        if ok:
            ok = self.comes_back()
        if ok:
            self.load.settle(SETTLE_S)
            packets = {str(op.told()[0]) for op in self.load.ops if op.kind in ('send', 'spend') and op.told()}
            self.found += check.all_of(self.stack, self.load, mark, sorted(packets) + (bystander.packets if bystander else []))
        else:
            self.found += self.told_so_far()
        attempts = [a for c in self.stack.cells for _, a in self.load.all_attempts(c)]
        self.out |= {'ok': not self.found, 'found': self.found, 'ops': len(self.load.ops), 'attempts': len(attempts),
                     'acknowledged': sum(bool(op.told()) for op in self.load.ops), 'all_s': round(time.monotonic() - began, 1)}
        return self.out

    def comes_back(self):
        try:
            self.stack.wait(lambda: whole(self.stack), 'both cells are whole again', READY_S, 0.3)
            return True
        except AssertionError as e:
            self.found.append(f'L {e}: {hbctl(self.stack, "cells", "status")[1]}')
            return False

    def told_so_far(self):
        try:
            return check.history(self.stack, self.load)
        except Exception as e:  # noqa: BLE001 the cell is away: its history cannot be looked up
            return [f'L the history cannot be held against the tables: {e!r}']

    def bystanders(self, before, during):
        self.out['other'] = {'rate': round(during['rate']), 'before_ms': before['p99_ms'], 'during_ms': during['p99_ms'],
                             'ratio': round(during['p99_ms'] / max(before['p99_ms'], 0.001), 2), 'driver_cpu_s': round(during['cpu_s'], 2)}
        bad = {s: n for s, n in during['status'].items() if s not in ('200', '429')}
        if bad or during['missing'] or during['broken']:
            self.out['other']['refused'] = {**bad, 'missing': during['missing'], 'broken': during['broken']}


def tell(out, as_json):
    if as_json:
        print(json.dumps(out), flush=True)
        return
    codes = ' '.join(f'{k} {n}' for k, n in sorted(out['codes'].items())) or 'nothing'
    there = out.get('other')
    beside = f'; cell beside p99 {there["before_ms"]:.1f} → {there["during_ms"]:.1f} ms ({there["ratio"]})' if there else ''
    print(f'{"ok" if out["ok"] else "FAILED"} seed {out["seed"]}: {out["fault"]} of {out["cell"]}, writes after {out["to_write_s"]} s, meanwhile {codes}; '
          f'{out["acknowledged"]} of {out["ops"]} operations acknowledged{beside}; {out["all_s"]} s', flush=True)
    for line in out['found'][:20]:
        print(f'    {line}')
    if len(out['found']) > 20:
        print(f'    and {len(out["found"]) - 20} more')


def summary(outs):
    """What is measured over all runs. A command that was killed thirteen times, and a primary that nobody fails over, are told apart."""
    times = {}
    for out in outs:
        kind = 'in place' if faults.FAULTS[out['fault']].in_place else 'hbctl killed' if faults.FAULTS[out['fault']].dies else 'one command'
        times.setdefault(kind, []).extend(out['to_write_s'])
    codes = {}
    for out in outs:
        for k, n in out['codes'].items():
            codes[k] = codes.get(k, 0) + n
    beside = [o['other'] for o in outs if 'other' in o]
    got = {'runs': len(outs), 'failed': sum(not o['ok'] for o in outs), 'codes': codes,
           'to_write_s': {k: {'n': len(v), 'median': round(statistics.median(v), 2), 'worst': max(v)} for k, v in times.items() if v}}
    if beside:
        got['other'] = {'p99_ratio': round(statistics.median(b['ratio'] for b in beside), 2), 'rate': round(statistics.median(b['rate'] for b in beside)),
                        'before_ms': round(statistics.median(b['before_ms'] for b in beside), 1),
                        'during_ms': round(statistics.median(b['during_ms'] for b in beside), 1),
                        'driver_cpu_s': round(statistics.median(b['driver_cpu_s'] for b in beside), 2)}
    return got


def tell_summary(got, args):
    print(f'{got["runs"]} runs, seeds {args.seed} to {args.seed + got["runs"] - 1}, {got["failed"]} failed')
    for kind, t in got['to_write_s'].items():
        goal = f' (goal: median ≤ {GOAL_S:g})' if kind == 'one command' else ''
        print(f'    first write, {kind}: median {t["median"]} s, worst {t["worst"]} s of {t["n"]}{goal}')
    print(f'    meanwhile: {got["codes"]}')
    if 'other' in got:
        o = got['other']
        print(f'    cell beside at {o["rate"]}/s: p99 {o["before_ms"]} → {o["during_ms"]} ms, median ratio {o["p99_ratio"]} (goal ≤ {GOAL_RATIO}); '
              f'driver {o["driver_cpu_s"]} s of processor')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--stack', required=True)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--fault', choices=sorted(faults.FAULTS))
    parser.add_argument('--short', action='store_true')
    parser.add_argument('--calm', action='store_true')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    stack = hb.Stack(args.stack)
    rates = {} if args.short else {cell: other.peak(stack, cell) / 5 for cell in sorted(stack.cells)}
    if rates and not args.json:
        print(f'a fifth of the peak: {", ".join(f"{c} {r:.0f}/s" for c, r in rates.items())}', flush=True)
    outs = []
    for seed in range(args.seed, args.seed + args.runs):
        run = Run(stack, seed, args.fault, rates, args.calm)
        try:
            outs.append(run.go())
        except Exception as e:  # noqa: BLE001 whatever it is, the campaign cannot go on
            print(f'chaos: seed {seed} ({run.name}): {e!r}', file=sys.stderr)
            return 3
        tell(outs[-1], args.json)
        if not outs[-1]['ok']:
            (stack.folder / 'log/failed-run').write_text('\n'.join(run.log))
            print(f'its commands: {stack.folder}/log/failed-run', file=sys.stderr)
            print(f'again: ./dev chaos cells --runs 1 --seed {seed}{f" --fault {args.fault}" if args.fault else ""}{" --short" * args.short}{" --calm" * args.calm}', file=sys.stderr)
            break
    got = summary(outs)
    print(json.dumps(got)) if args.json else tell_summary(got, args)
    return 0 if not got['failed'] else 1


if __name__ == '__main__':
    sys.exit(main())
