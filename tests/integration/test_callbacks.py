"""Finance's callbacks, good and bad, as a stranger with or without the key would send them."""
import base64
import hashlib
import hmac
import json
import os
import time

import pytest


class Finance:
    def __init__(self, stack):
        self.stack = stack
        self.kid, key = (stack.folder / 'secrets/finance.keys').read_text().split()[:2]
        self.key = bytes.fromhex(key)

    def body(self, order, outcome='done', amount=500, kind='payment', **more):
        return {'order_no': str(order), 'kind': kind, 'outcome': outcome, 'amount': {'amount': amount, 'currency': 'CNY'},
                'at': '2026-11-22T08:00:00Z', **more}

    def call(self, order, body, event=None, merchant='hongbao', at=None, key=None, sign_path=None, sent=None):
        path = f'/v1/callbacks/finance/{order}'
        data = json.dumps(body).encode()
        event, at = event or os.urandom(8).hex(), int(at or time.time())
        text = '\n'.join(['v1', merchant, str(at), event, 'POST', sign_path or path, hashlib.sha256(data).hexdigest()])
        mac = base64.urlsafe_b64encode(hmac.new(key or self.key, text.encode(), hashlib.sha256).digest()).rstrip(b'=').decode()
        return self.stack.http.call('POST', path, raw=sent or data, headers={
            'Content-Type': 'application/json', 'X-Finance-Signature': f'v1 {merchant} {at} {event} {self.kid} {mac}'})


@pytest.fixture
def finance(stack):
    return Finance(stack)


@pytest.fixture
def unpaid(stack):
    made = stack.send(1401, 500, 5).json
    return made['packet']['id'], made['payment']['order_no']


def state(stack, order):
    return stack.rows('A', 'SELECT state FROM payment WHERE order_no = %s', (order,))[0][0]


def events(stack, order):
    return stack.rows('A', 'SELECT COUNT(*), COUNT(handled_at) FROM finance_event WHERE order_no = %s', (order,))[0]


def parked(stack, order):
    return stack.rows('A', "SELECT COUNT(*) FROM parked WHERE queue = 'A.callback' AND body LIKE %s", (f'%{order}%',))[0][0]


def test_a_callback_opens_the_packet_and_its_repeat_is_204_and_handled_once(stack, finance, unpaid):
    packet, order = unpaid
    body = finance.body(order)
    for _ in range(3):
        answer = finance.call(order, body, event='the-event')
        assert answer.status == 204 and answer.body == b'', answer
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
    assert state(stack, order) == 2
    stack.wait(lambda: events(stack, order) == (1, 1), 'the event is handled')


def test_what_does_not_verify_is_refused_and_leaves_nothing(stack, finance, unpaid):
    _, order = unpaid
    body = finance.body(order)
    for bad in ({'key': bytes(32)}, {'merchant': 'other'}, {'at': time.time() - 400}, {'at': time.time() + 400},
                {'sign_path': '/v1/callbacks/finance/1'}, {'sent': json.dumps(finance.body(order, amount=501)).encode()}):
        answer = finance.call(order, body, **bad)
        assert (answer.status, answer.code) == (401, 'SIGNATURE_INVALID'), (bad, answer)
    assert events(stack, order) == (0, 0) and state(stack, order) == 1


def test_an_order_that_we_do_not_know_is_404(finance):
    answer = finance.call('99999901401', finance.body('99999901401'))
    assert (answer.status, answer.code) == (404, 'NOT_FOUND')


def test_the_path_and_the_body_must_name_the_same_order(finance, unpaid):
    answer = finance.call(unpaid[1], finance.body('99999901401'))
    assert (answer.status, answer.code) == (422, 'INVALID_FIELD')


def test_an_event_that_comes_again_with_other_values_is_a_conflict(finance, unpaid):
    _, order = unpaid
    assert finance.call(order, finance.body(order, outcome='pending'), event='twofold').status == 204
    answer = finance.call(order, finance.body(order), event='twofold')
    assert (answer.status, answer.code) == (409, 'ORDER_CONFLICT')


def test_an_amount_that_is_not_ours_changes_nothing_and_is_parked_for_a_person(stack, finance, unpaid):
    packet, order = unpaid
    assert finance.call(order, finance.body(order, amount=499)).status == 204
    stack.wait(lambda: parked(stack, order) == 1, 'the event is parked')
    assert state(stack, order) == 1 and stack.packet_state(packet) == 1


def test_a_word_against_a_final_state_changes_nothing_and_is_parked_for_a_person(stack, finance, unpaid):
    packet, order = unpaid
    assert finance.call(order, finance.body(order)).status == 204
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
    assert finance.call(order, finance.body(order, outcome='closed')).status == 204
    stack.wait(lambda: parked(stack, order) == 1, 'the second event is parked')
    assert state(stack, order) == 2 and stack.packet_state(packet) == 2


def test_a_malformed_event_is_refused(finance, unpaid):
    _, order = unpaid
    for change, status in (({'outcome': 'maybe'}, 422), ({'kind': 'gift'}, 422), ({'amount': 5}, 422), ({'at': 'noon'}, 422), ({'at': None}, 422)):
        assert finance.call(order, {**finance.body(order), **change}).status == status, change
