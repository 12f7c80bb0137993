"""What tests of failover know: hbctl, the control record, and a load whose own history says what was acknowledged."""
import json
import os
import signal
import subprocess
import threading
import time

import hb


def hbctl(stack, *words, timeout=120, env=None):
    """hbctl as ./dev hbctl runs it; the exit code, stdout and stderr in one."""
    command = f". '{stack.folder}/etc/env'; exec hbctl \"$@\""
    return subprocess.run(['/bin/sh', '-c', command, 'sh', *map(str, words)], timeout=timeout * hb.SLOW, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})


def status(stack, cell):
    return next(c for c in json.loads(hbctl(stack, 'cells', 'status', '-o', 'json').stdout) if c['cell'] == cell)


def record(stack, cell):
    """The control record as it is in etcd."""
    return json.loads(subprocess.run(['etcdctl', '--endpoints', stack.topology['etcd'], 'get', '--print-value-only', f'/hongbao/cells/{cell}'],
                                     check=True, capture_output=True, text=True, env={**os.environ, 'ETCDCTL_API': '3'}).stdout)


# Behind which of them hbctl is killed by HB_CTL_DIE_AFTER (units/journal.c).
FAILOVER_STEPS = ('begun', 'stopped', 'chosen', 'applied', 'recorded', 'promoted', 'followed', 'epoch', 'writable', 'live', 'nginx', 'probed', 'done')
# What drain SITE and replicate rebuild add to those.
DRAIN_STEPS = ('begun', 'paused', 'recorded', 'writable', 'dropped')
REBUILD_STEPS, READMIT_STEPS = ('dropped', 'fenced', 'copied'), ('started', 'recorded', 'follows', 'caught-up')
SWITCHOVER_STEPS = ('begun', 'paused', 'applied', 'recorded', 'promoted', 'followed', 'epoch', 'writable', 'live', 'nginx', 'probed', 'done')


def failover(stack, cell, *more, reason='a test', **options):
    return hbctl(stack, 'cells', 'failover', cell, '--reason', reason, '--confirm', cell, *more, **options)


def readmit(stack, cell, site, **options):
    return hbctl(stack, 'cells', 'readmit', cell, site, '--reason', 'a test', **options)


def switchover(stack, cell, site, **options):
    return hbctl(stack, 'cells', 'switchover', cell, '--to', site, '--reason', 'a test', **options)


def drain(stack, what, *more, **options):
    return hbctl(stack, 'cells', 'drain', what, '--reason', 'a test', '--confirm', what, *more, **options)


def rebuild(stack, cell, site, **options):
    return hbctl(stack, 'cells', 'replicate', cell, 'rebuild', site, '--reason', 'a test', '--confirm', site, **options)


def sites(stack, cell):
    return [m['site'] for m in stack.cells[cell]['members']]


def whole(stack, cell):
    """Every member of the cell follows, is counted on and acknowledges; the cell is where it starts its life."""
    home = stack.cells[cell]['active']
    for undo, change in ((drain, 'drained'), (failover, 'switching')):
        if record(stack, cell).get('change') == change:
            done = undo(stack, cell, '--undo')
            assert done.returncode == 0, done.stdout
    if record(stack, cell).get('change'):
        done = failover(stack, cell)
        assert done.returncode == 0, done.stdout
    for site in sites(stack, cell):
        if site != record(stack, cell)['primary']:
            done = readmit(stack, cell, site)
            assert done.returncode == 0, done.stdout
    if record(stack, cell)['primary'] != home:
        done = hbctl(stack, 'cells', 'failback', cell, '--reason', 'a test')
        assert done.returncode == 0, done.stdout
    now = record(stack, cell)
    assert (now['primary'], sorted(now['in_sync'])) == (home, sorted(sites(stack, cell))), now
    assert 'change' not in now and now['protection'] == 'protected', now


def kill_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Load:
    """Users who claim from envelopes and keep their own book of what they were told. Repeats what it is told to repeat."""

    def __init__(self, stack, senders, users=8, per_packet=40, pace=0.02):
        self.stack, self.users, self.per_packet, self.pace = stack, users, per_packet, pace
        self.senders, self.done, self.lock = senders, threading.Event(), threading.Lock()
        self.told = {}          # (packet, uid) -> (claim_no, amount)
        self.refused = []       # what was answered other than 200, as (time, status, code)
        self.times = []         # when a claim was acknowledged
        self.packets, self.next = [], 0
        self.threads = []

    def __enter__(self):
        self.packets = [self.stack.open_packet(s, self.per_packet * 20, self.per_packet) for s in self.senders]
        self.jobs = [(p, 20_000_000 + n * 1000 + int(p) % 1000) for n in range(self.per_packet) for p in self.packets]
        self.stack.mint_all([uid for _, uid in self.jobs])
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(self.users)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def take(self):
        with self.lock:
            if self.done.is_set() or self.next == len(self.jobs):
                return None
            self.next += 1
            return self.jobs[self.next - 1]

    def run(self):
        while (job := self.take()) is not None:
            packet, uid = job
            while not self.done.is_set():
                if self.claim(packet, uid):
                    break
                time.sleep(0.02)
            time.sleep(self.pace)

    def claim(self, packet, uid):
        try:
            answer = self.stack.claim(uid, packet, timeout=10 * hb.SLOW)
        except OSError:
            return False
        if answer.status != 200:
            self.refused.append((time.monotonic(), answer.status, answer.code))
            assert answer.json.get('retryable'), answer
            return False
        body = answer.json
        if body['outcome'] in ('claimed', 'already_claimed'):
            with self.lock:
                self.told[packet, uid] = (body['claim']['claim_no'], body['claim']['amount']['amount'])
                self.times.append(time.monotonic())
        return True

    def check(self):
        """Everything that was acknowledged is there, with the very same number and amount, and again when asked again."""
        for packet in self.packets:
            rows = self.stack.rows(self.stack.cell_of(packet), 'SELECT uid, claim_no, amount FROM claim WHERE packet_id = %s', (packet,))
            there = {uid: (str(no), amount) for uid, no, amount in rows}
            assert len(there) == len(rows), 'one claim per user'
            told = {uid: claim for (p, uid), claim in self.told.items() if p == packet}
            missing = {uid: claim for uid, claim in told.items() if there.get(uid) != claim}
            assert not missing, f'acknowledged and not there: {missing}'
        for (packet, uid), claim in list(self.told.items())[-20:]:
            body = self.stack.claim_until(uid, packet).json
            assert (body['claim']['claim_no'], body['claim']['amount']['amount']) == claim
