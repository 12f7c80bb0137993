#!/usr/bin/python3
"""Edits of flags.cfg in every way that people and tools edit files, good and bad ones, while users go on: every program of the site applies
the right state within a second, a bad file changes nothing, no request fails of it.

usage: flag_edits.py --stack FOLDER [--edits N] [--seed S]     (./dev chaos flags; the tests do 30)"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import hb  # noqa: E402

WITHIN_S = 1.0
# Downgraded by the edits: nothing that the users here do.
FLAG = 'received_list'
GROUP = f'{FLAG} = {{\n\tstate = "%s";\n\treason = "edited";\n}};\n'
END = 'complete = true;\n'
USERS = range(1100, 1140)


class Users:
    """Claims and reads over both cells; every answer that is not what it should be is kept."""

    def __init__(self, stack):
        self.stack, self.asked, self.wrong, self.ending = stack, 0, [], threading.Event()
        stack.mint_all(list(USERS) + [u + 500 for u in USERS])
        self.packets = [stack.open_packet(1001, 100000, 500), stack.open_packet(1501, 100000, 500)]
        self.threads = [threading.Thread(target=self.go_on, args=(uid,)) for uid in (USERS[0], USERS[1] + 500)]

    def go_on(self, first):
        for n in range(10 ** 9):
            uid = first + n % len(USERS) - first % 100
            for packet in self.packets:
                answer = self.stack.claim(uid, packet)
                seen = self.stack.call('GET', f'/v1/packets/{packet}', uid)
                self.asked += 2
                if answer.status not in (200, 429) or seen.status != 200:
                    self.wrong.append((answer, seen))
            if self.ending.wait(0.01):
                return

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join()


def in_place(path, text):
    """As an editor that writes the file anew, in two goes: half of it is there for a moment."""
    with open(path, 'w') as f:
        f.write(text[:len(text) // 2])
        f.flush()
        time.sleep(0.05)
        f.write(text[len(text) // 2:])


def renamed(path, text):
    beside = path.with_suffix('.tmp')
    beside.write_text(text)
    os.rename(beside, path)


def sed(path, text):
    """The wish in place, everything else as it was."""
    want = re.search(r'state = "(on|off)"', text)[1]
    if FLAG not in path.read_text():
        renamed(path, text)
    else:
        subprocess.run(['sed', '-i', f's/state = "[a-z]*"/state = "{want}"/', str(path)], check=True)


GOOD = {'in place': in_place, 'renamed': renamed, 'sed -i': sed}
BAD = {'truncated': lambda text: text[:-len(END) // 2], 'empty': lambda text: '', 'cut in a group': lambda text: text[:text.index('reason')],
       'wrong type': lambda text: text.replace('"edited"', '7'), 'binary': lambda text: '\x00\x01\x02' + text,
       'unknown flag': lambda text: text.replace(FLAG, 'receved_list')}


class Editor:
    def __init__(self, stack, seed):
        self.stack, self.rng, self.state, self.slowest = stack, random.Random(seed), {}, 0.0
        self.sites = [s['name'] for s in stack.topology['sites']]
        self.first = {site: self.path(site).read_text() for site in self.sites}
        for site in self.sites:
            renamed(self.path(site), END)
            self.state[site] = 'on'

    def path(self, site):
        return self.stack.folder / 'live' / site / 'flags.cfg'

    def end(self):
        for site in self.sites:
            renamed(self.path(site), self.first[site])

    def hbctl(self, *words):
        dev = hb.ROOT / 'dev'
        return subprocess.run([dev, 'hbctl', 'flags', *words], env={**os.environ, 'HB_NAME': self.stack.folder.name}, capture_output=True, text=True)

    def samples(self, name, site, more=''):
        text = self.stack.ops_http.call('GET', '/metrics').body.decode()
        return [int(v) for v in re.findall(rf'^{name}{{[^}}]*site="{site}"[^}}]*{more}}} (\d+)$', text, re.M)]

    def wait(self, site, how, bad):
        """Until all programs of the site have the state and say whether the file is bad; how long it took."""
        began = time.monotonic()
        want = 100 if self.state[site] == 'off' else 0
        while True:
            off, told = self.samples('hb_flag_off_percent', site, f'flag="{FLAG}"'), self.samples('hb_flags_file_bad', site)
            if off and set(off) == {want} and set(told) == {int(bad)}:
                return time.monotonic() - began
            assert time.monotonic() - began < WITHIN_S * hb.SLOW, \
                f'{how} at {site}: after {WITHIN_S} s {off.count(want)} of {len(off)} have {want}, {told.count(int(bad))} say bad = {bad}'
            time.sleep(0.02)

    def one(self):
        how = self.rng.choice(list(GOOD) * 2 + list(BAD) + ['hbctl'])
        site = self.rng.choice(self.sites)
        want = self.rng.choice(('on', 'off'))
        if how == 'hbctl':
            done = self.hbctl('set', FLAG, want, '--reason', 'edited')
            assert done.returncode == 0, done
            self.state = dict.fromkeys(self.sites, want)
            for site in self.sites:
                self.wait(site, how, False)
        elif how in GOOD:
            GOOD[how](self.path(site), GROUP % want + END)
            self.state[site] = want
            self.slowest = max(self.slowest, self.wait(site, how, False))
        else:
            renamed(self.path(site), BAD[how](GROUP % want + END))
            self.slowest = max(self.slowest, self.wait(site, how, True))
            renamed(self.path(site), GROUP % self.state[site] + END if self.state[site] == 'off' else END)
            self.wait(site, f'mended after {how}', False)
        return how


def campaign(stack, edits, seed):
    editor, ways = Editor(stack, seed), {}
    try:
        with Users(stack) as users:
            for _ in range(edits):
                how = editor.one()
                ways[how] = ways.get(how, 0) + 1
    finally:
        editor.end()
    assert not users.wrong, f'{len(users.wrong)} of {users.asked} requests failed, e.g. {users.wrong[0]}'
    return {'edits': edits, 'seed': seed, 'slowest_s': round(editor.slowest, 3), 'requests': users.asked, 'failed': 0, 'ways': ways}


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--stack', required=True)
    p.add_argument('--edits', type=int, default=1000)
    p.add_argument('--seed', type=int, default=int(time.time()))
    a = p.parse_args()
    try:
        print(json.dumps(campaign(hb.Stack(a.stack), a.edits, a.seed)))
    except AssertionError as e:
        print(f'seed {a.seed}: {e}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
