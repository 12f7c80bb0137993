"""The clients of ./dev chaos cells: steady load on both cells. Each keeps what it asked, when, and what it was told: the history, which alone
decides afterwards what must be there and what must not."""
import json
import os
import random
import threading
import time
from collections import namedtuple

import b2c
import hb

CLIENTS = 4  # threads for each cell
PROBE_S = 0.05
PAUSE_S, CALM_PAUSE_S = (0.01, 0.04), (0.1, 0.2)
AGAIN_S = (0.03, 0.08)
GIVES_UP = 0.2  # of the operations: at their first refusal, so that refusals are held to what they say
# Neither done nor refused. INTERNAL is our fault and says nothing; a send that finance did not answer has its key.
UNKNOWN = {'OUTCOME_UNKNOWN', 'DRAW_PENDING', 'INTERNAL', 'FINANCE_UNAVAILABLE', 'IDEMPOTENCY_KEY_BUSY'}

# Refusals of a cell in good health.
NOTHING_WRONG = {'exhausted', 'expired', 'not_open', 'AMOUNT_OUT_OF_RANGE', 'BALANCE_TOO_LOW'}

# t0, t1: monotonic; verdict: done, refused, unknown; code: the answer's, or why there was none; where: the site that was asked directly
Attempt = namedtuple('Attempt', 't0 t1 verdict code retry_after told where')


class Op:
    """One operation and all attempts at it. kind and key say what it is: ('claim', (packet, uid)), ('send', (uid, key)), …"""

    def __init__(self, kind, cell, key, **args):
        self.kind, self.cell, self.key, self.args, self.attempts, self.final = kind, cell, key, args, [], False
        self.patient = random.random() > GIVES_UP

    def verdicts(self):
        return {a.verdict for a in self.attempts}

    def told(self):
        return [a.told for a in self.attempts if a.verdict == 'done']


def claim_told(answer):
    claim = answer.get('claim')
    return (int(claim['claim_no']), claim['amount']['amount']) if claim else None


TOLD = {
    'claim': claim_told,
    'send': lambda answer: int(answer['packet']['id']),
    'withdraw': lambda answer: int(answer['order_no']),
}
TOLD['spend'] = TOLD['send']


def attempt(op, t0, status, headers, body, where=None):
    """What an answer says of its operation; status 0: there was none, and body says why."""
    t1 = time.monotonic()
    if status == 0:
        return Attempt(t0, t1, 'unknown', body, None, None, where)
    try:
        answer = json.loads(body)
    except ValueError:
        return Attempt(t0, t1, 'unknown', f'{status} without a code', None, None, where)
    if status < 300:
        told = TOLD[op.kind](answer)
        if told is not None:
            return Attempt(t0, t1, 'done', 'done', None, told, where)
        op.final = answer.get('outcome') in ('exhausted', 'expired')
        return Attempt(t0, t1, 'refused', answer.get('outcome'), None, None, where)
    code = answer.get('code', str(status))
    op.final = not answer.get('retryable')
    return Attempt(t0, t1, 'unknown' if code in UNKNOWN else 'refused', code, headers.get('retry-after'), None, where)


class Load:
    def __init__(self, stack, seed, calm=False):
        self.stack, self.lock, self.ops, self.pause_s = stack, threading.Lock(), [], CALM_PAUSE_S if calm else PAUSE_S
        self.over, self.wrong, self.threads = False, [], []
        self.packets = {cell: [] for cell in stack.cells}  # open ones, the youngest last
        self.rich = {cell: [] for cell in stack.cells}  # uids whose wallet may have something
        self.campaign, self.seed, self.draws = b2c.Campaign(stack), seed, 0

    def start(self):
        for cell in self.stack.cells:
            for i in range(CLIENTS):
                t = threading.Thread(target=self.client, args=(cell, random.Random(f'{self.seed} {cell} {i}')))
                t.start()
                self.threads.append(t)
        for cell in self.stack.cells:
            self.stack.wait(lambda: self.first(cell, 0), f'a claim of cell {cell} is answered')

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join()

    # ---- one client ----
    def client(self, cell, rng):
        while not self.over:
            try:
                op = self.next(cell, rng)
                if op:
                    self.insist(op, rng)
            except Exception as e:  # noqa: BLE001 told with what is wrong
                self.wrong.append(f'client of {cell}: {e!r}')
            time.sleep(rng.uniform(*self.pause_s))

    def next(self, cell, rng):
        packets, draw = self.packets[cell][-12:], rng.random()
        if not packets or draw < 0.12:
            return self.new_send(cell, rng)
        if draw < 0.18:
            return self.new_spend(cell, rng)
        if draw < 0.23 and self.rich[cell]:
            return self.new(Op('withdraw', cell, (rng.choice(self.rich[cell][-20:]), os.urandom(12).hex()), fen=rng.randint(1, 30)))
        if draw < 0.28:  # somebody asks again what they know
            known = [op for op in self.ops[-200:] if op.cell == cell and op.told()]
            if known:
                return rng.choice(known)
        return self.new_claim(rng.choice(packets), rng)

    def new(self, op):
        with self.lock:
            self.ops.append(op)
        return op

    def user(self, cell, rng):
        """A uid of that cell; of any, for None."""
        while True:
            uid = rng.randint(1_000_000, 9_999_999)
            if cell is None or self.stack.cell_of(uid) == cell:
                self.stack.mint_all([uid])
                return uid

    def new_send(self, cell, rng):
        count = rng.randint(5, 60)
        return self.new(Op('send', cell, (self.user(cell, rng), os.urandom(12).hex()), count=count, total=rng.randint(count, count * 300)))

    def new_spend(self, cell, rng):
        with self.lock:
            self.draws += 1
            draw = self.draws
        uid, fen = self.user(cell, rng), rng.randint(100, 2000)
        token = b2c.seal(self.stack, self.campaign.win(uid, fen, k=100000 + draw))
        return self.new(Op('spend', cell, (uid, os.urandom(12).hex()), count=rng.randint(2, 20), token=token))

    def new_claim(self, packet, rng):
        return self.new(Op('claim', self.stack.cell_of(packet[0]), (packet[0], self.user(None, rng)), b2c=packet[1]))

    def insist(self, op, rng):
        while self.ask(op).verdict != 'done' and not op.final and op.patient and not self.over:
            time.sleep(rng.uniform(*AGAIN_S))

    def call(self, op):
        stack, (who, key) = self.stack, op.key
        if op.kind == 'claim':
            return stack.claim(key, who)
        if op.kind == 'send':
            return stack.send(who, op.args['total'], op.args['count'], key=key)
        if op.kind == 'spend':
            return b2c.send(stack, who, op.args['count'], key=key, subsidy_token=op.args['token'])
        return stack.withdraw(who, op.args['fen'], key=key)

    def ask(self, op):
        t0 = time.monotonic()
        try:
            answer = self.call(op)
            got = attempt(op, t0, answer.status, answer.headers, answer.body)
        except OSError as e:
            got = attempt(op, t0, 0, {}, type(e).__name__)
        first = got.verdict == 'done' and not op.told()
        op.attempts.append(got)
        if first:
            self.follow(op, answer)
        return got

    def follow(self, op, answer):
        """What a first success leads to."""
        if op.kind == 'send':
            try:
                self.stack.pay(answer.json['payment']['cashier_url'])
            except (AssertionError, OSError):  # a user who could not pay
                return
        if op.kind in ('send', 'spend'):
            self.packets[op.cell].append((op.told()[0], op.kind == 'spend'))
        if op.kind == 'claim' and op.args.get('b2c'):
            self.rich[self.stack.cell_of(op.key[1])].append(op.key[1])

    # ---- asked directly, past nginx, by a client at the program's own site ----
    def ask_directly(self, op, port, site, host):
        params = {'REQUEST_METHOD': 'POST', 'REQUEST_URI': f'/v1/packets/{op.key[0]}/claim', 'CONTENT_LENGTH': '0',
                  'HTTP_AUTHORIZATION': f'Bearer {self.stack.token(op.key[1])}'}
        t0 = time.monotonic()
        try:
            head, _, body = hb.fastcgi(port, params, timeout=8, host=host).partition(b'\r\n\r\n')
            lines = dict(line.decode().lower().split(': ', 1) for line in head.split(b'\r\n') if b': ' in line)
            got = attempt(op, t0, int(lines.get('status', '200').split()[0]) if head else 0, lines, body if head else 'no answer', site)
        except OSError as e:
            got = attempt(op, t0, 0, {}, type(e).__name__, site)
        op.attempts.append(got)
        return got

    # ---- what the history says ----
    def all_attempts(self, cell):
        with self.lock:
            ops = [op for op in self.ops if op.cell == cell]
        return [(op, a) for op in ops for a in list(op.attempts)]

    def first(self, cell, since):
        """When the first write that was asked for after `since` was answered with success, through the front door; None: never."""
        with self.lock:
            ops = [op for op in self.ops if op.cell == cell]
        done = []
        for op in ops:  # what was told again, or may have been done before, is no write of now
            before = [a for a in op.attempts if a.verdict != 'refused'][:1]
            done += [a.t1 for a in before if a.verdict == 'done' and a.t0 >= since and not a.where]
        return min(done, default=None)

    def codes(self, cell, since, until):
        """How often what was said instead of a success, meanwhile."""
        count = {}
        for _, a in self.all_attempts(cell):
            if since <= a.t1 <= until and a.verdict != 'done' and not a.where and a.code not in NOTHING_WRONG:
                name = a.code if a.code != 'CELL_UNAVAILABLE' or a.retry_after else 'CELL_UNAVAILABLE without Retry-After'
                count[name] = count.get(name, 0) + 1
        return count

    def settle(self, seconds):
        """After the load: everybody patient asks until they know, and some ask again what they know already. What is still unknown."""
        rng, end = random.Random(self.seed), time.monotonic() + seconds
        for op in [o for o in self.ops if o.patient and not o.final and not o.told() and o.attempts]:
            while self.ask(op).verdict != 'done' and not op.final and time.monotonic() < end:
                time.sleep(rng.uniform(*AGAIN_S))
        known = [o for o in self.ops if o.told()]
        for op in rng.sample(known, min(80, len(known))):
            while self.ask(op).verdict == 'unknown' and time.monotonic() < end:
                time.sleep(rng.uniform(*AGAIN_S))
        return [o for o in self.ops if o.patient and not o.final and not o.told() and o.attempts]


class Prober:
    """A new user every 50 ms, whatever became of those before: when the first of them succeeds, the cell is back. The steady clients may
    still wait for what they asked the old site."""

    def __init__(self, load, cell, rng):
        self.load, self.cell, self.rng, self.over = load, cell, random.Random(rng.random()), False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            op = self.load.new_send(self.cell, self.rng)
            op.patient = False
            user = threading.Thread(target=self.load.ask, args=(op,))
            user.start()
            self.load.threads.append(user)
            time.sleep(PROBE_S)

    def stop(self):
        self.over = True
        self.thread.join()
