"""Every order reaches its end, also when finance refuses for good or hangs; people are told what is stuck, once."""
import json
import os
import signal
import statistics
import threading
import time

import audit
import pytest
from bot import bot, bot_every, hbctl, parked  # noqa: F401 the fixtures
from test_callbacks import Finance


@pytest.fixture
def faults(stack):
    yield lambda change: stack.finance_http.call('POST', '/sim/faults', {'reset': True, **change})
    stack.finance_http.call('POST', '/sim/faults', {'reset': True})


def balance(stack, uid):
    rows = stack.rows(stack.cell_of(uid), 'SELECT balance FROM account WHERE kind = 1 AND owner = %s', (uid,))
    return rows[0][0] if rows else 0


def test_a_transfer_refused_for_good_is_in_the_claimers_wallet_once(stack, faults):
    packet = stack.open_packet(1001, 600, 2, split='equal')
    before = balance(stack, 1602)
    assert faults({'transfer': {'refuse': 100}}).status == 200
    assert stack.claim(1602, packet).json['claim']['transfer_state'] == 'pending'
    stack.wait(lambda: stack.claim(1602, packet).json['claim']['transfer_state'] == 'wallet', 'the claim shows the wallet', 60)
    assert balance(stack, 1602) == before + 300
    assert stack.claim(1002, packet).json['outcome'] == 'claimed'
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 0.5)
    assert balance(stack, 1602) == before + 300


def test_a_refund_refused_for_good_is_in_the_payers_wallet_and_the_packet_closes(stack, faults):
    packet = stack.open_packet(1001, 500, 5, split='equal')
    before = balance(stack, 1001)
    assert stack.claim(1002, packet).json['outcome'] == 'claimed'
    assert faults({'refund': {'refuse': 100}}).status == 200
    stack.rows('A', 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (int(time.time() * 1000), packet))
    stack.wait(lambda: stack.packet_state(packet) == 5, 'the packet is closed', 60)
    assert balance(stack, 1001) == before + 400
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 0.5)


def test_while_finance_is_away_no_money_goes_elsewhere_and_all_of_it_arrives_afterwards(stack, faults):
    packet = stack.open_packet(1001, 500, 5, split='equal')
    assert faults({'all': {'outage': 50, 'timeout_after_success': 50}}).status == 200
    for uid in (1002, 1003, 1502, 1503, 1504):
        assert stack.claim(uid, packet).json['outcome'] == 'claimed'
    stack.wait(lambda: stack.rows('A', 'SELECT COUNT(*) FROM transfer WHERE packet_id = %s', (packet,)) == ((5,),), 'transfers are there')
    faults({})
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 90, 0.5)
    stack.wait(lambda: stack.rows('A', 'SELECT DISTINCT state FROM transfer WHERE packet_id = %s', (packet,)) == ((2,),), 'and each is done', 90)


def test_a_parked_message_is_told_once_also_over_a_restart_and_can_be_put_back(stack, bot):  # noqa: F811
    order = stack.send(1401, 500, 5).json['payment']['order_no']
    assert Finance(stack).call(order, Finance(stack).body(order, amount=499)).status == 204

    message = stack.wait(lambda: parked(stack, order), 'the message is parked')[0]
    mine = f'message {message["id"]} of A.callback is parked (ORDER_CONFLICT)'
    stack.wait(lambda: any(mine in text for text in bot), 'the bot is told')
    stack.sv('restart', 'A-worker-alert')
    assert hbctl(stack, 'orders', 'push', '--parked', str(message['id']), '--cell', 'A')[0] == 2  # without a reason
    assert hbctl(stack, 'orders', 'push', '--parked', str(message['id']), '--cell', 'A', '--reason', 'a test')[0] == 0
    again = stack.wait(lambda: [m for m in parked(stack, order) if m['id'] != message['id']], 'it is parked again')[0]
    stack.wait(lambda: any(f'message {again["id"]} of' in text for text in bot), 'the bot is told of the new one')
    assert sum(mine in text for text in bot) == 1


def test_an_order_is_shown_with_its_callbacks_and_one_at_its_end_is_not_pushed(stack):
    packet = stack.open_packet(1001, 100, 1)
    order = str(stack.rows('A', 'SELECT order_no FROM payment WHERE packet_id = %s', (packet,))[0][0])
    code, out, err = hbctl(stack, 'orders', 'show', order)
    shown = json.loads(out)
    assert code == 0 and shown['state'] == 'paid' and shown['kind'] == 'payment', (shown, err)
    assert hbctl(stack, 'orders', 'push', order, '--reason', 'a test')[0] == 3
    assert hbctl(stack, 'orders', 'show', '99999901401')[0] != 0


def p99(samples):
    return sorted(samples)[int(len(samples) * 0.99)]


def test_finance_that_hangs_slows_neither_claims_nor_queries_and_the_backlog_drains(stack):
    """Short rounds with and without, in turns, so that a busy machine is as busy for both."""
    rounds, each = 10, 40
    packets = [stack.open_packet(1001, 2000 * 100, 2000) for _ in range(1)]
    users = iter(range(70000, 70000 + 2 * rounds * each))
    unpaid = [stack.send(1001, 100, 1).json['payment']['order_no'] for _ in range(3)]
    took = {(what, hung): [] for what in ('claim', 'query') for hung in (False, True)}
    stop = threading.Event()

    def poll():  # ten times as often as they are told to: 429s and all
        while not stop.is_set():
            for order in unpaid:
                stack.call('GET', f'/v1/payments/{order}', 1001)
            stop.wait(0.05)

    def timed(what, hung, call):
        start = time.monotonic()
        answer = call()
        assert answer.status == 200, answer
        took[(what, hung)][-1].append(time.monotonic() - start)

    pollers = [threading.Thread(target=poll) for _ in range(2)]
    for thread in pollers:
        thread.start()
    try:
        for _ in range(rounds):
            for hung in (False, True):
                stack.kill('finance-sim', signal.SIGSTOP if hung else signal.SIGCONT)
                for what in ('claim', 'query'):
                    took[(what, hung)].append([])
                for _ in range(each):
                    uid = next(users)
                    stack.mint_all([uid])
                    timed('claim', hung, lambda: stack.claim_until(uid, packets[0]))
                    timed('query', hung, lambda: stack.call('GET', f'/v1/packets/{packets[0]}', uid))
    finally:
        stack.kill('finance-sim', signal.SIGCONT)
        stop.set()
        for thread in pollers:
            thread.join()
    # Of each round its own median and p99, and of those the median over the rounds.
    ratios = {what: [statistics.median(map(of, took[(what, True)])) / statistics.median(map(of, took[(what, False)]))
                     for of in (statistics.median, p99)] for what in ('claim', 'query')}
    print('hung / not hung, median and p99:', ratios)
    assert all(ratio < 1.5 for pair in ratios.values() for ratio in pair), ratios
    pending = 'SELECT COUNT(*) FROM transfer WHERE packet_id = %s AND state = 1'
    print('backlog', stack.rows('A', pending, (packets[0],))[0][0])
    stack.wait(lambda: stack.rows('A', 'SELECT COUNT(*) FROM transfer WHERE packet_id = %s AND state = 2', (packets[0],))[0][0] == 2 * rounds * each,
               'every transfer is done', 120, 0.5)
