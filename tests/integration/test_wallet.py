"""B2C money on its way: from the packet's cell to the claimer's wallet, and out through finance."""
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import audit
import b2c
import hb


@pytest.fixture(scope='module')
def campaign(stack):
    return b2c.Campaign(stack)


def agree(stack, packets, seconds=60):
    stack.wait(lambda: not audit.audit(stack, packets), f'the books agree: {audit.audit(stack, packets)}', seconds, 0.5)


def credited(stack, packet):
    """Every claim of the packet is credited, as its own cell knows."""
    return not stack.rows(stack.cell_of(packet), 'SELECT 1 FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no AND t.state = 2 '
                                                 'WHERE c.packet_id = %s AND t.order_no IS NULL', (packet,))


def give(campaign, uid, fen):
    """The user opens a b2c packet of one share that somebody of the other cell sent."""
    stack = campaign.stack
    packet = b2c.packet(campaign, 1001 if stack.cell_of(uid) == 'B' else 1501, fen, 1)
    assert stack.claim(uid, packet).json['outcome'] == 'claimed'
    before = stack.balance(uid)
    stack.wait(lambda: credited(stack, packet), 'the claim is credited')
    assert stack.balance(uid) >= min(fen, before + 1)
    return packet


def test_a_claim_of_each_cell_is_credited_to_its_users_wallet_and_shown_so(stack, campaign):
    packet = b2c.packet(campaign, 2001, 3000, 3)
    won = {}
    for uid in (2002, 2502, 2503):  # one of the packet's cell, two of the other
        before = stack.balance(uid)
        answer = stack.claim(uid, packet).json
        assert answer['outcome'] == 'claimed' and answer['claim']['transfer_state'] == 'pending', answer
        won[uid] = (before, answer['claim']['amount']['amount'])
    stack.wait(lambda: credited(stack, packet), 'all are credited')
    for uid, (before, fen) in won.items():
        assert stack.balance(uid) == before + fen
        # From the database at first, from memory afterwards: the packet is exhausted.
        for _ in range(3):
            assert stack.claim(uid, packet).json['claim']['transfer_state'] == 'wallet'
        assert stack.call('GET', f'/v1/packets/{packet}', uid).json['my_claim']['transfer_state'] == 'wallet'
    assert sum(fen for _, fen in won.values()) == 3000
    agree(stack, [packet])


def test_credits_are_exact_over_kill_9_of_everything_on_their_way(stack, campaign):
    packets = [b2c.packet(campaign, s, 20000, 100) for s in (2004, 2504, 2005, 2505)]
    users = [170000 + i for i in range(200)] + [170500 + i for i in range(200)]
    stack.mint_all(users)
    before = {u: stack.balance(u) for u in users[::20]}
    victims = ['A-worker-credit', 'B-worker-transfer', 'rabbitmq', 'A-worker-credited', 'B-worker-relay', 'B-worker-credit', 'A-worker-transfer',
               'A-worker-relay', 'B-worker-credited', 'A-worker-credit', 'B-worker-credit']
    stop, killed = threading.Event(), []

    def killer():
        for victim in victims:
            if stop.wait(0.25):
                return
            stack.wait(lambda victim=victim: stack.pid(victim), f'{victim} runs')
            stack.kill(victim)
            killed.append(victim)

    thread = threading.Thread(target=killer)
    thread.start()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: stack.claim_until(users[i], packets[i % 4], 90).json, range(len(users))))
    thread.join()
    assert len(killed) == len(victims)
    assert all(a['outcome'] in ('claimed', 'already_claimed') for a in told)
    won = {users[i]: a['claim']['amount']['amount'] for i, a in enumerate(told)}
    stack.wait(lambda: all(credited(stack, p) for p in packets), 'every claim is credited', 120, 0.5)
    agree(stack, packets)
    assert {u: stack.balance(u) - b for u, b in before.items()} == {u: won[u] for u in before}


def test_messages_that_come_twice_and_long_after_credit_nothing_more(stack, campaign):
    packet = b2c.packet(campaign, 2006, 500, 1)
    claim = stack.claim(2506, packet).json['claim']
    stack.wait(lambda: credited(stack, packet), 'it is credited')
    balance = stack.balance(2506)
    row = f'[{{"no":{claim["claim_no"]},"u":2506,"a":500}}]'
    answered = f'[{{"no":{claim["claim_no"]}}}]'
    before = stack.rows('B', 'SELECT COUNT(*) FROM parked')[0][0]
    for _ in range(5):
        stack.rows('A', 'INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (5, %s, 0, 0, %s)', (claim['claim_no'], row))
        stack.rows('B', 'INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (6, %s, 0, 0, %s)', (claim['claim_no'], answered))
    # The same claim with another amount or for another user is nobody's credit.
    for bad in (row.replace('500}', '501}'), row.replace('2506', '2507')):
        stack.rows('A', 'INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (5, %s, 0, 0, %s)', (claim['claim_no'], bad))
    stack.wait(lambda: stack.rows('B', 'SELECT COUNT(*) FROM parked')[0][0] == before + 2, 'the two that contradict the books are parked')
    stack.wait(lambda: not any(stack.rows(c, 'SELECT 1 FROM outbox') for c in stack.cells), 'all messages are out')
    assert stack.balance(2506) == balance
    agree(stack, [packet])


def test_a_credit_waits_for_a_cell_that_is_away_and_is_asked_for_again(stack, campaign):
    packet = b2c.packet(campaign, 2008, 700, 1)
    before = stack.balance(2508)
    stack.sv('down', 'B-worker-credit')
    try:
        claim = stack.claim(2508, packet).json['claim']
        tries = 'SELECT tries FROM transfer WHERE order_no = %s'
        stack.wait(lambda: (stack.rows('A', tries, (claim['claim_no'],)) or ((0,),))[0][0] >= 1, 'the sweep has asked again')
        assert stack.balance(2508) == before
        assert stack.claim(2508, packet).json['claim']['transfer_state'] == 'pending'
    finally:
        stack.sv('up', 'B-worker-credit')
    stack.wait(lambda: credited(stack, packet), 'it is credited')
    assert stack.balance(2508) == before + 700
    agree(stack, [packet])


def test_what_nobody_opened_goes_back_to_the_campaign(stack):
    campaign = b2c.Campaign(stack)
    packet = b2c.packet(campaign, 2009, 1000, 2, expires_in=3 * hb.SLOW)
    before = campaign.balance('A')
    fen = stack.claim(2509, packet).json['claim']['amount']['amount']
    stack.wait(lambda: stack.packet_state(packet) == 5, 'the packet closes')
    assert campaign.balance('A') == before + 1000 - fen
    assert stack.claim(2510, packet).json['outcome'] == 'expired'
    stack.wait(lambda: credited(stack, packet), 'the claim is credited all the same')
    agree(stack, [packet])
    assert not stack.rows('A', 'SELECT 1 FROM refund WHERE packet_id = %s', (packet,))


def withdraw_until(stack, uid, fen):
    """Repeats with the same key while nobody knows what became of it, as the page does; the last answer."""
    key = os.urandom(12).hex()
    return stack.wait(lambda: (a := stack.withdraw(uid, fen, key)).status != 503 and a, 'the withdrawal is answered')


def withdrawal(stack, uid, order):
    answer = stack.call('GET', f'/v1/me/withdrawals/{order}', uid)
    return answer.json['state'] if answer.status == 200 else None  # 429: asked too soon


def ended(stack, uid, order, seconds=30):
    return stack.wait(lambda: withdrawal(stack, uid, order) in ('done', 'refused') and withdrawal_row(stack, order), f'{order} ends', seconds, 0.3)


def withdrawal_row(stack, order):
    return stack.rows(stack.cell_of(order), 'SELECT state, amount FROM withdrawal WHERE order_no = %s', (order,))[0]


def at_finance(stack, order):
    return stack.finance_db().execute("SELECT uid, amount, outcome FROM orders WHERE kind = 'withdrawal' AND order_no = ?", (int(order),)).fetchall()


def wallet(stack, uid, limit=100):
    """Balance and all entries, page by page."""
    entries, cursor = [], ''
    while True:
        answer = stack.call('GET', f'/v1/me/wallet?limit={limit}{cursor}', uid)
        assert answer.status == 200, answer
        entries += [(e['kind'], e['source_no'], e['amount']['amount']) for e in answer.json['entries']]
        if not answer.json['next_cursor']:
            return answer.json['balance']['amount'], entries
        cursor = f'&cursor={answer.json["next_cursor"]}'


def test_a_withdrawal_pays_out_exactly_and_the_wallet_tells_of_it(stack, campaign):
    uid = 2601
    packets = [give(campaign, uid, 800) for _ in range(2)]
    assert wallet(stack, uid)[0] == 1600
    made = stack.withdraw(uid, 900)
    assert made.status == 202 and made.json['state'] == 'pending' and made.json['amount']['amount'] == 900, made
    order = made.json['order_no']
    assert ended(stack, uid, order) == (2, 900)
    assert [(str(u), a, o) for u, a, o in at_finance(stack, order)] == [(str(uid), 900, 'done')]
    for limit in (1, 2, 100):
        balance, entries = wallet(stack, uid, limit)
        assert balance == 700 and entries[0] == ('withdraw', order, -900) and [e[2] for e in entries] == [-900, 800, 800], entries
    page = stack.call('GET', '/v1/me/withdrawals', uid).json
    assert [(w['order_no'], w['state']) for w in page['data']] == [(order, 'done')] and page['next_cursor'] is None
    for stranger in (2602, 2102):  # of the same cell, and of the other
        answer = stack.call('GET', f'/v1/me/withdrawals/{order}', stranger)
        assert (answer.status, answer.code) == (403, 'FORBIDDEN'), answer
    agree(stack, packets)


def test_fifty_withdrawals_at_once_take_what_is_there_and_no_more(stack, campaign):
    uid = 2603
    give(campaign, uid, 2050)
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: withdraw_until(stack, uid, 100), range(50)))
    taken = [a.json['order_no'] for a in answers if a.status == 202]
    assert len(taken) == 20 == len(set(taken))
    assert {(a.status, a.code) for a in answers if a.status != 202} == {(409, 'BALANCE_TOO_LOW')}
    assert stack.balance(uid) == 50
    stack.wait(lambda: all(withdrawal_row(stack, o)[0] == 2 for o in taken), 'all are paid out')
    agree(stack, None, 90)


def test_one_key_withdraws_once_however_it_is_repeated(stack, campaign):
    uid, key = 2604, 'the-same-key-for-all'
    give(campaign, uid, 1000)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: stack.withdraw(uid, 300, key), range(20)))
    good = [a for a in answers if a.status == 202]
    assert len({a.json['order_no'] for a in good}) == 1 and len({a.body for a in good}) == 1
    assert sum('idempotent-replayed' not in a.headers for a in good) == 1
    assert all(a.status == 202 or a.code in ('IDEMPOTENCY_KEY_BUSY', 'OUTCOME_UNKNOWN') for a in answers), answers
    assert stack.balance(uid) == 700
    other = stack.withdraw(uid, 301, key)
    assert (other.status, other.code) == (422, 'IDEMPOTENCY_KEY_REUSED')
    ended(stack, uid, good[0].json['order_no'])
    again = stack.withdraw(uid, 300, key)
    assert again.status == 202 and again.body == good[0].body and again.headers['idempotent-replayed'] == 'true'
    # A refusal leaves no trace, the key included: the same request succeeds once the money is there.
    low = stack.withdraw(uid, 1500, 'a-key-that-came-early')
    assert (low.status, low.code) == (409, 'BALANCE_TOO_LOW')
    give(campaign, uid, 800)
    assert stack.withdraw(uid, 1500, 'a-key-that-came-early').status == 202


def test_amounts_outside_the_limits_and_keys_that_are_missing_are_refused(stack, campaign):
    give(campaign, 2605, 500)
    for fen in (0, 99, -100, 2000001, 2 ** 62):
        answer = stack.withdraw(2605, fen)
        assert (answer.status, answer.code) == (422, 'AMOUNT_OUT_OF_RANGE'), answer
    answer = stack.call('POST', '/v1/me/withdrawals', 2605, {'amount': {'amount': 100, 'currency': 'CNY'}})
    assert (answer.status, answer.code) == (400, 'IDEMPOTENCY_KEY_MISSING')
    answer = stack.call('POST', '/v1/me/withdrawals', 2605, {'amount': {'amount': 100, 'currency': 'CNY'}, 'to': 'x'},
                        headers={'Idempotency-Key': 'twelve-letters'})
    assert (answer.status, answer.code) == (422, 'INVALID_FIELD')
    assert stack.balance(2605) == 500


def test_a_withdrawal_that_finance_refuses_is_back_in_the_wallet_once(stack, campaign):
    uid = 2606
    give(campaign, uid, 500)
    stack.finance_http.call('POST', '/sim/faults', {'withdrawal': {'refuse': 100}})
    try:
        order = stack.withdraw(uid, 400).json['order_no']
        assert ended(stack, uid, order) == (3, 400)
    finally:
        stack.finance_http.call('POST', '/sim/faults', {'withdrawal': {'refuse': 0}})
    balance, entries = wallet(stack, uid)
    assert balance == 500 and sorted(e[0] for e in entries) == ['credit_in', 'withdraw', 'withdraw_back'], entries
    agree(stack, None, 90)


def test_withdrawals_wait_for_finance_and_for_workers_that_die(stack, campaign):
    uid = 2607
    give(campaign, uid, 3000)
    stack.sv('down', 'finance-sim')
    try:
        orders = [stack.withdraw(uid, 100).json['order_no'] for _ in range(10)]
        assert stack.balance(uid) == 2000
        tries = f'SELECT MIN(tries) FROM withdrawal WHERE order_no IN ({",".join(orders)})'
        stack.wait(lambda: stack.rows('B', tries)[0][0] >= 1, 'finance has been asked in vain')
        assert all(withdrawal_row(stack, o)[0] == 1 for o in orders)
    finally:
        stack.sv('up', 'finance-sim')
    for victim in ('B-worker-withdraw', 'B-worker-callback', 'B-worker-sweep', 'B-worker-relay', 'B-worker-check'):
        orders += [stack.withdraw(uid, 100).json['order_no'] for _ in range(4)]
        stack.kill(victim)
    stack.wait(lambda: all(withdrawal_row(stack, o)[0] == 2 for o in orders), 'all are paid out', 90)
    assert stack.balance(uid) == 0
    agree(stack, None, 90)
