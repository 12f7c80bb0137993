"""One external order number, however often, by whichever way and for whichever user it comes, is one subsidy.

A partner has two ways, the call and the message; the rain has two, the message of a win and its token."""
import collections
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import b2c
import hb
from test_subsidies import order

HERE, THERE = 23001, 23501  # of cells A and B


@pytest.fixture(scope='module')
def campaign(stack):
    return b2c.Campaign(stack)


def everywhere(stack, number):
    """(cell, uid, amount, state) of the number's subsidies, and its tracking rows."""
    found = [(cell, *row) for cell in stack.cells
             for row in stack.rows(cell, 'SELECT uid, amount, state FROM subsidy WHERE out_order_no = %s', (number,))]
    tracked = [(cell, *row) for cell in stack.cells for row in stack.rows(cell, 'SELECT uid, amount FROM tracking WHERE out_order_no = %s', (number,))]
    return found, tracked


def settled(stack, queue, number, times):
    """How many messages of the number were parked."""
    return sum(stack.rows(cell, 'SELECT COUNT(*) FROM parked WHERE queue = %s AND body LIKE %s', (f'{cell}.{queue}', f'%{number}%'))[0][0]
               for cell in stack.cells) == times


def test_a_partner_s_number_1000_times_by_call_and_message_with_two_users(stack, campaign):
    number = f'one-{campaign.number}'
    bodies = [order(number, uid, campaign=campaign.name) for uid in (HERE, THERE)]
    message = {'i': 'demo', 'o': number, 'a': 300, 'c': campaign.name, 'x': b2c.now_ms() + b2c.DAY_MS}
    first = threading.Thread(target=b2c.publish, args=(stack, [{**message, 'u': uid} for uid in (HERE, THERE)] * 250, 9))
    first.start()
    def call(i):
        end = time.monotonic() + 60 * hb.SLOW
        while (answer := b2c.partner(stack, bodies[i % 2])).status in (429, 503) and time.monotonic() < end:
            assert answer.json['retryable']
        return i % 2, answer
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(call, range(500)))
    first.join()
    told = collections.Counter((who, a.status, a.code) for who, a in answers)
    winner = next(who for who, status, _ in told if status in (200, 201))
    assert set(told) <= {(winner, 201, None), (winner, 200, None), (1 - winner, 409, 'ORDER_CONFLICT')}, told
    assert told[(winner, 201, None)] <= 1
    assert len({a.json['subsidy_id'] for who, a in answers if who == winner}) == 1
    stack.wait(lambda: settled(stack, 'issue', number, 250), 'the messages of the other user are parked', 60)
    found, tracked = everywhere(stack, number)
    uid = (HERE, THERE)[winner]
    assert found == [(stack.cell_of(uid), uid, 300, 1)]
    assert [t[1:] for t in tracked] == [(uid, 300)]
    assert campaign.balance(stack.cell_of(uid)) == 5_000_000 - 300


def test_a_rain_s_number_1000_times_by_message_and_token_with_two_users(stack, campaign):
    win = campaign.win(HERE, 400, round=7)
    stolen = {**campaign.win(THERE, 400, round=7), 'o': win['o']}
    tokens = {HERE: b2c.seal(stack, win), THERE: b2c.seal(stack, stolen)}
    first = threading.Thread(target=b2c.publish, args=(stack, [win, stolen] * 250))
    stack.mint_all([HERE, THERE])
    first.start()
    def call(i):
        uid = (HERE, THERE)[i % 2]
        while (answer := b2c.send(stack, uid, subsidy_token=tokens[uid])).code == 'RATE_LIMITED':  # a user's limit of sends
            time.sleep(answer.json['retry_after_ms'] / 1000)
        return uid, answer
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(call, range(500)))
    first.join()
    told = collections.Counter((uid, a.status, a.code) for uid, a in answers)
    assert told == {(HERE, 201, None): 1, (HERE, 409, 'SUBSIDY_SPENT'): 249, (THERE, 422, 'TOKEN_INVALID'): 250}
    stack.wait(lambda: settled(stack, 'subsidy', win['o'], 250), 'the messages of the other user are parked', 60)
    found, tracked = everywhere(stack, win['o'])
    assert found == [('A', HERE, 400, 2)]
    assert [t[1:] for t in tracked] == [(HERE, 400)]
