"""Campaigns, leases, wins and partners' calls, made by hand: what hb-rain and partners do, without their programs.

Money goes by the ledger's own bookings, so that whoever sums the books over a stack finds nothing wrong."""
import base64
import hashlib
import hmac
import itertools
import json
import os
import struct
import subprocess
import tempfile
import time

import nacl.bindings

import hb

CAMPAIGN, ISSUED = 2, 4  # accounts of lib/domain/ledger.def
LEASE = 2  # a booking
CELLS = {'A': 1, 'B': 2}
DAY_MS = 86400000


def now_ms():
    return int(time.time() * 1000)


def hbctl(stack, *args):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', *args], check=True, capture_output=True, text=True,
                          env={**os.environ, 'HB_NAME': stack.folder.name}).stdout


def queued(stack, cell):
    """Messages of wins that wait."""
    return next(c['queued'] for c in json.loads(hbctl(stack, '-o', 'json', 'subsidies', 'backlog')) if c['cell'] == cell)


def subkey(key, purpose, use):
    """libsodium's crypto_kdf_derive_from_key."""
    return hashlib.blake2b(b'', digest_size=32, key=key, salt=struct.pack('<QQ', use, 0), person=purpose.encode().ljust(16, b'\0')).digest()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def rfc3339(t):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(t))


def campaign_text(*campaigns):
    """The file of `hbctl campaign apply`; each a dict of the options."""
    groups = []
    for c in campaigns:
        lines = [f'name = "{c["name"]}"', f'number = {c["number"]}']
        lines += [f'{k} = "{c[k]}"' for k in ('starts_at', 'ends_at') if k in c]
        lines += [f'{k} = {c[k]}' for k in ('every_s', 'lasts_s', 'limit', 'expiry_s', 'lease_fen')]
        prizes = ', '.join(f'{{ amount_fen = {p["amount_fen"]}; ppm = {p["ppm"]}; }}' for p in c['prizes'])
        budget = ' '.join(f'{cell} = {fen};' for cell, fen in c['budget'].items())
        groups.append('{\n' + '\n'.join(f'{line};' for line in lines) + f'\nprizes = ( {prizes} );\nbudget = {{ {budget} }};\n}}')
    return 'campaigns = ( ' + ', '.join(groups) + ' );\n'


def apply(stack, *campaigns, reason='a test'):
    with tempfile.NamedTemporaryFile('w', suffix='.cfg') as f:
        f.write(campaign_text(*campaigns))
        f.flush()
        hbctl(stack, 'campaign', 'apply', f.name, '--reason', reason)


class Campaign:
    """A campaign of this stack, with its budget in each cell and a lease of it. It never rains, or, with `prize`, every draw wins that."""
    numbers = itertools.count(500000 + int(time.time()) % 40000 * 10)
    draws = itertools.count(1000)  # of packet(); tests that name a draw name a small one
    seq = itertools.count(2**46 + now_ms() * 10 % (2 * 10**13))  # where hb-rain's numbers are

    def __init__(self, stack, budget=10_000_000, leased=5_000_000, prize=0):
        self.stack, self.number, self.lease = stack, next(self.numbers), {}
        self.name = f'b2c-{self.number}'
        apply(stack, {'name': self.name, 'number': self.number, **({} if prize else {'starts_at': '2090-01-01T00:00:00Z'}),
                      'every_s': 86400, 'lasts_s': 86400, 'limit': 10, 'expiry_s': 3600, 'lease_fen': 10000,
                      'prizes': [{'amount_fen': prize or 1, 'ppm': 1000000}], 'budget': {c: budget for c in stack.cells}})
        for cell in stack.cells if leased else ():
            self.lease[cell] = self.lend(cell, leased)

    def legs(self, c, kind, source, giver, taker, fen):
        for leg, account, amount in ((0, giver, -fen), (1, taker, fen)):
            c.execute('INSERT INTO ledger VALUES (%s, %s, %s, %s, %s, %s, %s)', (kind, source, leg, account, self.number, amount, now_ms()))

    def lend(self, cell, fen, settle_in_ms=DAY_MS):
        lease = next(self.seq) * 100000 + CELLS[cell] * 1000 + (1 if cell == 'A' else 501)
        with self.stack.db(cell) as db, db.cursor() as c:
            c.execute('INSERT INTO budget_lease VALUES (%s, %s, %s, %s, 1, %s, %s, %s, 0)',
                      (lease, self.number, fen, 'test', now_ms(), now_ms() + settle_in_ms, now_ms() + settle_in_ms))
            c.execute('UPDATE account SET balance = balance - %s WHERE kind = %s AND owner = %s', (fen, CAMPAIGN, self.number))
            self.legs(c, LEASE, lease, CAMPAIGN, ISSUED, fen)
        return lease

    def balance(self, cell):
        return self.stack.rows(cell, 'SELECT balance FROM account WHERE kind = %s AND owner = %s', (CAMPAIGN, self.number))[0][0]

    def win(self, uid, amount=188, k=0, round=1, expires_in_ms=DAY_MS, **more):
        cell = self.stack.cell_of(uid)
        number = next(self.seq) * 100000 + CELLS[cell] * 1000 + int(uid) % 1000
        return {'no': number, 'u': int(uid), 'a': amount, 'o': f'{self.number}.{round}.{k}.{uid}', 'c': self.number,
                'x': now_ms() + expires_in_ms, 'l': self.lease.get(cell, 0), **more}


def seal(stack, win, uid=None):
    """The token of a win, as lib/domain/token.c seals it."""
    kid, key = (stack.folder / 'secrets/seal.keys').read_text().split()[:2]
    number = win['o'].encode()
    plain = struct.pack('>BQQQQQB', 1, win['no'], win['l'], win['c'], win['a'], win['x'], len(number)) + number
    nonce = os.urandom(24)
    box = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plain, struct.pack('>Q', uid or win['u']), nonce, subkey(bytes.fromhex(key), 'token', 1))
    return 'hbs1.' + b64(kid.encode().ljust(8, b'\0') + nonce + box)


def publish(stack, events, kind=4, cell=None):
    """Messages, by way of a relay: kind 4 wins of the rain, 9 what partners ask for."""
    by_cell = {}
    for event in events:
        by_cell.setdefault(cell or stack.cell_of(event['u']), []).append(event)
    for name, some in by_cell.items():
        with stack.db(name) as db, db.cursor() as c:
            for at in range(0, len(some), 500):
                c.execute('INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (%s, 1, 0, %s, %s)',
                          (kind, now_ms(), json.dumps(some[at:at + 500])))


def send(stack, uid, count=3, key=None, **more):
    body = {'kind': 'b2c', 'split': 'lucky', 'count': count, **more}
    return stack.call('POST', '/v1/packets', uid, body, headers={'Idempotency-Key': key or os.urandom(12).hex()})


def packet(campaign, uid, total=10000, count=10, expires_in=None):
    """An open envelope that the user sent from a win of the campaign; its number. Repeated with its key while told to: another
    test may just have started the cell's programs again."""
    stack, draw, key = campaign.stack, next(Campaign.draws), os.urandom(12).hex()
    token, answers = seal(stack, campaign.win(uid, total, k=draw)), []

    def answered():
        answers.append(send(stack, uid, count, key=key, subsidy_token=token))
        return answers[-1].status != 503
    stack.wait(answered, 'the send is answered')
    answer = answers[-1]
    assert answer.status == 201, answer
    number = answer.json['packet']['id']
    if expires_in is not None:
        stack.rows(stack.cell_of(uid), 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (now_ms() + int(expires_in * 1000), number))
    return number


def listed(stack, uid):
    answer = stack.call('GET', '/v1/me/subsidies', uid)
    assert answer.status == 200, answer
    return answer.json


def rows(stack, uid):
    """(subsidy_id, out_order_no, amount, state, packet_id) of a user."""
    return stack.rows(stack.cell_of(uid), 'SELECT subsidy_id, out_order_no, amount, state, packet_id FROM subsidy WHERE uid = %s', (uid,))


def partner(stack, body, name='demo', key=None, at=None, path='/v1/partner/subsidies', raw=None, event=None, kid='k1'):
    kid, secret = (stack.folder / f'secrets/partner.{name}.keys').read_text().split()[:2] if key is None else (kid, key)
    data = raw or json.dumps(body).encode()
    event, at = event or os.urandom(8).hex(), int(at or time.time())
    text = '\n'.join(['v1', name, str(at), event, 'POST', path, hashlib.sha256(data).hexdigest()])
    mac = b64(hmac.new(bytes.fromhex(secret), text.encode(), hashlib.sha256).digest())
    return stack.http.call('POST', path, raw=data, headers={
        'Content-Type': 'application/json', 'X-Hb-Signature': f'v1 {name} {at} {event} {kid} {mac}'})
