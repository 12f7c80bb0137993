"""What races: many users on one packet, one key many times, claims against expiry."""
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import audit
import hb
import pytest


def at_once(n, work):
    """Runs work(0..n-1) in n threads that start together."""
    gate = threading.Barrier(n)

    def one(i):
        gate.wait()
        return work(i)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


def by_process(stack, cell, **labels):
    return {i: stack.metric('hb_claims_total', program='hb-core', cell=cell, instance=str(i), **labels) for i in (1, 2)}


def risen(after, before):
    return {i: after[i] - before[i] for i in after if after[i] > before[i]}


@pytest.mark.parametrize('hashed', [True, False], ids=['hashed by packet', 'hashing off'])
def test_600_users_on_100_shares(stack, claim_hash, hashed):
    claim_hash(hashed)
    users = [20000 + i for i in range(600)]
    stack.mint_all(users)
    packet = stack.open_packet(1001, 123456, 100)
    before, claimed = by_process(stack, 'A'), by_process(stack, 'A', outcome='claimed')
    answers = at_once(600, lambda i: stack.claim_until(users[i], packet))
    outcomes = Counter(a.json['outcome'] for a in answers)
    assert outcomes == {'claimed': 100, 'exhausted': 500}
    won = [(users[i], a.json['claim']) for i, a in enumerate(answers) if a.json['outcome'] == 'claimed']
    assert sum(c['amount']['amount'] for _, c in won) == 123456
    assert sorted(c['index'] for _, c in won) == list(range(100))
    assert len({c['claim_no'] for _, c in won}) == 100
    served = risen(by_process(stack, 'A'), before)
    assert len(served) == (1 if hashed else 2) and sum(served.values()) >= 600, served
    assert sum(risen(by_process(stack, 'A', outcome='claimed'), claimed).values()) == 100
    stack.wait(lambda: not audit.audit(stack, [packet]), 'each share is transferred exactly once with its amount', 60)


def test_one_key_50_times_in_parallel_makes_one_packet_and_one_payment(stack):
    uid, key = 1044, f'parallel-{random.getrandbits(40)}'
    stack.mint_all([uid])
    answers = at_once(50, lambda i: stack.send(uid, 8800, 8, key=key))
    busy = [a for a in answers if a.status == 409]
    assert all(a.code == 'IDEMPOTENCY_KEY_BUSY' for a in busy)
    made = [a for a in answers if a.status == 201]
    assert len(made) + len(busy) == 50 and made, Counter(a.status for a in answers)
    assert len({a.body for a in made}) == 1
    assert sum('idempotent-replayed' not in a.headers for a in made) == 1
    packet, order = made[0].json['packet']['id'], int(made[0].json['payment']['order_no'])
    assert stack.rows('A', 'SELECT COUNT(*) FROM packet WHERE sender = %s', (uid,)) == ((1,),)
    assert stack.rows('A', 'SELECT order_no FROM payment WHERE payer = %s', (uid,)) == ((order,),)
    assert stack.finance_db().execute("SELECT COUNT(*) FROM orders WHERE kind = 'payment' AND uid = ?", (uid,)).fetchone() == (1,)
    other = stack.send(uid, 8801, 8, key=key)
    assert (other.status, other.code) == (422, 'IDEMPOTENCY_KEY_REUSED')
    stack.pay(made[0].json['payment']['cashier_url'])
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
    repeat = stack.send(uid, 8800, 8, key=key)
    assert repeat.status == 201 and repeat.body == made[0].body and repeat.headers['idempotent-replayed'] == 'true'


def test_claims_against_expiry(stack):
    """3,000 packets of one share; each expires at a random moment around its one claim, and the sweep takes it. Whoever wins,
    claims + refund = total."""
    seed = random.getrandbits(32)
    print('seed', seed)
    rng = random.Random(seed)
    count, senders = 3000, [1201, 1601]
    users = [30000 + i for i in range(40)]
    stack.mint_all(users + senders)

    def make(i):
        made = stack.send(senders[i % 2], 100 + i % 7, 1).json
        stack.pay(made['payment']['cashier_url'])
        return made['packet']['id']

    with ThreadPoolExecutor(24) as pool:
        packets = list(pool.map(make, range(count)))
    stack.wait(lambda: all(n == 0 for n in unpaid(stack, senders)), 'all packets are open', 120, 0.5)
    local = threading.local()

    def one(i):
        """The packet expires within 80 ms from now, and its claim comes within 80 ms from now."""
        expiry, moment = rng.uniform(0, 0.08 * hb.SLOW), rng.uniform(0, 0.08 * hb.SLOW)
        cell = stack.cell_of(packets[i])
        if not hasattr(local, 'db'):
            local.db = {c: stack.db(c) for c in ('A', 'B')}
        now = time.time()
        with local.db[cell].cursor() as cursor:
            cursor.execute('UPDATE packet SET expires_at = %s WHERE packet_id = %s', (int((now + expiry) * 1000), packets[i]))
        time.sleep(max(0.0, now + moment - time.time()))
        return stack.claim_until(users[i % len(users)], packets[i]).json['outcome']

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(one, range(count)))
    print(outcomes)
    assert set(outcomes) == {'claimed', 'expired'} and min(outcomes.values()) >= count / 10, outcomes
    stack.wait(lambda: open_left(stack, senders) == 0, 'every packet has reached its end', 120, 0.5)
    stack.wait(lambda: not audit.audit(stack, packets), 'claims + refund = total, here and at finance', 60, 1)


def unpaid(stack, senders):
    return [stack.rows(c, 'SELECT COUNT(*) FROM packet WHERE state = 1 AND sender IN %s', (senders,))[0][0] for c in ('A', 'B')]


def open_left(stack, senders):
    return sum(stack.rows(c, 'SELECT COUNT(*) FROM packet WHERE state IN (2, 4) AND sender IN %s', (senders,))[0][0] for c in ('A', 'B'))
