"""hbctl reconcile while money moves: envelopes of both kinds over both cells, claimed by users of both, credits between the cells. Nothing is ever
more out than in; once it is quiet both are equal; and what is planted is found in the middle of it."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import audit
import b2c
import pytest
from test_reconcile import b2c as compared, reconcile

SENDERS = {'A': (26001, 26002), 'B': (26501, 26502)}
CLAIMERS = [uid for n in range(40) for uid in (26010 + n, 26510 + n)]
SHARES = 30


class Load:
    """Claims until it is told to stop; every envelope has more claimers than shares."""

    def __init__(self, stack):
        self.stack, self.campaign = stack, b2c.Campaign(stack)
        self.stop, self.lock, self.packets, self.credits, self.failed = threading.Event(), threading.Lock(), [], set(), []
        stack.mint_all([*CLAIMERS, *(uid for uids in SENDERS.values() for uid in uids)])

    def envelope(self, n):
        uid = SENDERS['AB'[n % 2]][n // 2 % 2]
        packet = b2c.packet(self.campaign, uid, 3000, SHARES) if n % 4 < 2 else self.stack.open_packet(uid, 3000, SHARES)
        with self.lock:
            self.packets.append(packet)
        with ThreadPoolExecutor(8) as pool:
            for uid, answer in zip(CLAIMERS, pool.map(lambda uid: self.stack.claim_until(uid, packet), CLAIMERS)):
                assert answer.status == 200 and answer.json['outcome'] in ('claimed', 'exhausted'), answer
                if n % 4 < 2 and answer.json['outcome'] == 'claimed':
                    self.credits.add(answer.json['claim']['claim_no'])

    def run(self, first):
        try:
            n = first
            while not self.stop.is_set():
                self.envelope(n)
                n += 2
        except Exception as error:  # told by the test's own thread
            self.failed.append(error)


@pytest.fixture
def load(stack):
    made = Load(stack)
    threads = [threading.Thread(target=made.run, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    yield made
    made.stop.set()
    for thread in threads:
        thread.join()


def look(stack, *words):
    code, found = reconcile(stack, '--live', *words)
    return code, {(f['from'], f['to']): f for f in found['flows']}, {p['packet'] for p in found['packets']}


def quiet(load):
    stack = load.stack
    load.stop.set()
    stack.wait(lambda: not audit.audit(stack, load.packets), 'the books agree', 120, 1)


def test_never_more_out_than_in_while_money_moves_and_equal_once_it_is_quiet(stack, load):
    stack.wait(lambda: len(load.packets) >= 2, 'there is load', 60)
    moved, under_way, strangers = set(), 0, look(stack)[2] - set(load.packets)
    for _ in range(6):
        code, flows, packets = look(stack)
        assert not load.failed, load.failed
        assert not packets - strangers and not [f for f in flows.values() if f['wrong']], (flows, packets)
        assert code == 0 or strangers
        moved.add(tuple(f['in'] for f in flows.values()))
        under_way += sum(f['out'] > f['in'] for f in flows.values())
    assert len(moved) >= 3 and under_way >= 1, (moved, under_way)  # it was looked at while money moved
    quiet(load)
    assert not load.failed, load.failed

    def equal():
        code, flows, packets = look(stack, '--quiet')
        return not [f for f in flows.values() if f['wrong']] and not packets - strangers
    stack.wait(equal, 'what is out is in', 60, 0.5)
    # The steps of b2c, of the very same traffic: nothing of it differs; and one fen that is changed is found.
    hours = {time.strftime('%Y-%m-%dT%H', time.gmtime())}
    assert len(load.credits) >= SHARES
    for cell in stack.cells:
        mine = {no for no in load.credits if stack.cell_of(no) == cell}
        differences = compared(stack, cell)[1]
        assert not [d for d in differences if d[1] in mine | set(load.packets)], (hours, differences)
        claim = mine.pop()
        stack.rows(cell, 'UPDATE claim SET amount = amount + 1 WHERE claim_no = %s', (claim,))
        try:
            assert [d for d in compared(stack, cell)[1] if d[1] == claim], claim
        finally:
            stack.rows(cell, 'UPDATE claim SET amount = amount - 1 WHERE claim_no = %s', (claim,))


def test_a_leg_from_nothing_is_found_in_the_middle_of_the_load(stack, load):
    stack.wait(lambda: len(load.packets) >= 2, 'there is load', 60)
    planted = 990006001
    try:
        stack.rows('B', 'INSERT INTO ledger VALUES (10, %s, 1, 8, 1, -100000000, %s)', (planted, b2c.now_ms()))
        code, flows, _ = look(stack)
    finally:
        stack.rows('B', 'DELETE FROM ledger WHERE source_no = %s', (planted,))
    assert code == 10 and flows['A', 'B']['wrong'] and not flows['B', 'A']['wrong'], flows
    assert not look(stack)[1]['A', 'B']['wrong']
    assert not load.failed, load.failed
