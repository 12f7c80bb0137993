"""B2C money on its way: from the packet's cell to the claimer's wallet, and out through finance."""
import threading
from concurrent.futures import ThreadPoolExecutor

import audit
import hb


def agree(stack, packets, seconds=60):
    stack.wait(lambda: not audit.audit(stack, packets), f'the books agree: {audit.audit(stack, packets)}', seconds, 0.5)


def credited(stack, packet):
    """Every claim of the packet is credited, as its own cell knows."""
    return not stack.rows(stack.cell_of(packet), 'SELECT 1 FROM claim c LEFT JOIN transfer t ON t.order_no = c.claim_no AND t.state = 2 '
                                                 'WHERE c.packet_id = %s AND t.order_no IS NULL', (packet,))


def give(stack, uid, fen):
    """The user opens a b2c packet of one share that somebody of the other cell sent."""
    packet = stack.b2c_packet(1001 if stack.cell_of(uid) == 'B' else 1501, fen, 1)
    assert stack.claim(uid, packet).json['outcome'] == 'claimed'
    before = stack.balance(uid)
    stack.wait(lambda: credited(stack, packet), 'the claim is credited')
    assert stack.balance(uid) >= min(fen, before + 1)
    return packet


def test_a_claim_of_each_cell_is_credited_to_its_users_wallet_and_shown_so(stack):
    packet = stack.b2c_packet(2001, 3000, 3)
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


def test_credits_are_exact_over_kill_9_of_everything_on_their_way(stack):
    packets = [stack.b2c_packet(s, 20000, 100) for s in (2004, 2504, 2005, 2505)]
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


def test_messages_that_come_twice_and_long_after_credit_nothing_more(stack):
    packet = stack.b2c_packet(2006, 500, 1)
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


def test_a_credit_waits_for_a_cell_that_is_away_and_is_asked_for_again(stack):
    packet = stack.b2c_packet(2008, 700, 1)
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
    campaign = 77
    packet = stack.b2c_packet(2009, 1000, 2, expires_in=3 * hb.SLOW, campaign=campaign)
    fen = stack.claim(2509, packet).json['claim']['amount']['amount']
    stack.wait(lambda: stack.packet_state(packet) == 5, 'the packet closes')
    assert stack.rows('A', 'SELECT balance FROM account WHERE kind = 2 AND owner = %s', (campaign,)) == ((1000 - fen,),)
    assert stack.claim(2510, packet).json['outcome'] == 'expired'
    stack.wait(lambda: credited(stack, packet), 'the claim is credited all the same')
    agree(stack, [packet])
    assert not stack.rows('A', 'SELECT 1 FROM refund WHERE packet_id = %s', (packet,))
