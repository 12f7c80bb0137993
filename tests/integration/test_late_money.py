"""Money that comes when nobody waits for it any more, and money that finally cannot go where it should: it goes back, once."""
import time

import audit
import pytest
from bot import hbctl
from test_callbacks import events
from test_finance_faults import faults  # noqa: F401 the fixture
from test_reconcile import reconcile

SETTLE = ('A-worker-transfer', 'A-worker-check', 'A-worker-callback', 'A-worker-sweep')


def payment(stack, order):
    return stack.rows('A', 'SELECT state FROM payment WHERE order_no = %s', (order,))[0][0]


def close(stack, order):
    """Its time is over."""
    now = int(time.time() * 1000)
    stack.rows('A', 'UPDATE payment SET expires_at = %s, next_check_at = %s WHERE order_no = %s', (now, now, order))
    stack.wait(lambda: payment(stack, order) == 4, 'the payment is closed', 60)


def refunds(stack, packet):
    """(reason, amount, state, what finance says of it) of our refunds of a packet."""
    theirs = {int(no): (outcome, int(uid)) for no, outcome, uid in
              stack.finance_db().execute("SELECT order_no, outcome, uid FROM orders WHERE kind = 'refund'")}
    return [(reason, amount, state, *theirs.get(no, (None, None))) for no, reason, amount, state in
            stack.rows('A', 'SELECT order_no, reason, amount, state FROM refund WHERE packet_id = %s', (packet,))]


def test_a_payment_that_comes_in_after_it_was_closed_goes_back_and_the_packet_stays_closed(stack, faults):  # noqa: F811
    made = stack.send(1001, 700, 3).json
    packet, order = made['packet']['id'], made['payment']['order_no']
    close(stack, order)
    assert stack.packet_state(packet) == 5
    assert faults({'payment': {'pay_closed': 100}}).status == 200
    stack.pay(made['payment']['cashier_url'])
    stack.wait(lambda: payment(stack, order) == 6, 'the payment is refunded', 60)
    assert refunds(stack, packet) == [(2, 700, 2, 'done', 1001)]
    assert stack.packet_state(packet) == 5
    assert stack.claim(1002, packet).json.get('outcome') != 'claimed'
    shown = stack.call('GET', f'/v1/payments/{order}', 1001)
    assert shown.status == 200 and shown.json['state'] == 'refunded', shown
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 0.5)
    # Finance says it again and again: nothing is given back twice.
    stack.pay(made['payment']['cashier_url'])
    assert len(refunds(stack, packet)) == 1


@pytest.fixture
def paid_late(stack, faults):  # noqa: F811
    """paid_late(): a payment whose money came in after it was closed, which finance does not call back, as (packet, order)."""
    def make(asked=0):
        made = stack.send(1001, 700, 3).json
        packet, order = made['packet']['id'], made['payment']['order_no']
        close(stack, order)
        stack.rows('A', 'UPDATE payment SET tries = %s WHERE order_no = %s', (asked, order))
        assert faults({'payment': {'pay_closed': 100, 'drop_callback': 100}}).status == 200
        stack.pay(made['payment']['cashier_url'])
        return packet, order
    return make


def given_back(stack, packet, order):
    stack.wait(lambda: payment(stack, order) == 6, 'the payment is refunded', 60)
    assert refunds(stack, packet) == [(2, 700, 2, 'done', 1001)]
    assert stack.packet_state(packet) == 5
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 0.5)


def test_money_that_came_in_late_goes_back_without_its_callback(stack, paid_late):
    given_back(stack, *paid_late())


def test_a_person_has_finance_asked_about_a_closed_payment(stack, paid_late):
    """Whose check messages are over."""
    packet, order = paid_late(asked=3)
    code, out, err = hbctl(stack, 'orders', 'push', order, '--reason', 'a test')
    assert code == 0 and 'is due now' in out, err
    given_back(stack, packet, order)
    code, _, err = hbctl(stack, 'orders', 'push', order, '--reason', 'a test')
    assert code != 0 and 'there is nothing to push' in err


@pytest.fixture
def by_callback(stack):
    """by_callback(False): callbacks take no effect until it is called again; and nobody asks about closed payments."""
    config = stack.folder / 'etc/hongbao.cfg'
    before = config.read_text()

    def use(on):
        text = before if on else before.replace('check_max_ms = 5000;', 'check_max_ms = 5000; by_callback = false; by_check = false;')
        assert on or text != before
        config.write_text(text)
        for service in ('A-worker-callback', 'A-worker-check'):
            stack.sv('restart', service)

    yield use
    use(True)


def test_a_callback_that_came_while_callbacks_were_off_takes_effect_afterwards(stack, faults, by_callback):  # noqa: F811
    made = stack.send(1001, 700, 3).json
    packet, order = made['packet']['id'], made['payment']['order_no']
    close(stack, order)
    stack.wait(lambda: events(stack, order) == (1, 1), 'finance has told of its closing')
    by_callback(False)
    assert faults({'payment': {'pay_closed': 100}}).status == 200
    stack.pay(made['payment']['cashier_url'])
    stack.wait(lambda: events(stack, order) == (2, 1), 'the callback is there')
    stack.wait(lambda: stack.rows('A', 'SELECT COUNT(*) FROM outbox WHERE kind = 3 AND business_no = %s', (order,)) == ((0,),), 'so is its message')
    assert payment(stack, order) == 4
    by_callback(True)
    stack.wait(lambda: events(stack, order) == (2, 2), 'the callback is handled', 60)
    given_back(stack, packet, order)


def test_a_payment_that_is_closed_is_not_paid_without_that_fault(stack):
    """So that the test above is of what it says: the cashier takes nothing for a closed payment."""
    made = stack.send(1001, 700, 3).json
    close(stack, made['payment']['order_no'])
    with pytest.raises(AssertionError):
        stack.pay(made['payment']['cashier_url'])


def test_late_money_that_waits_for_finance_s_word_breaks_no_rule(stack, faults):  # noqa: F811
    """The refund is made once finance has said it again; until then the payment says alone that the money goes back."""
    made = stack.send(1001, 700, 3).json
    packet, order = made['packet']['id'], made['payment']['order_no']
    close(stack, order)
    assert faults({'payment': {'pay_closed': 100}}).status == 200
    stack.sv('down', 'A-worker-callback')
    try:
        stack.pay(made['payment']['cashier_url'])
        stack.wait(lambda: stack.rows('A', 'SELECT 1 FROM finance_event WHERE order_no = %s', (order,)), 'finance has called back')
        assert faults({'payment': {'pay_closed': 100, 'outage': 100}}).status == 200
    finally:
        stack.sv('up', 'A-worker-callback')
    stack.wait(lambda: payment(stack, order) == 5, 'the money is to go back')
    assert not refunds(stack, packet)
    assert packet not in {p['packet'] for p in reconcile(stack, '--live')[1]['packets']}
    assert payment(stack, order) == 5 and not refunds(stack, packet), 'finance was away all the time'
    faults({'payment': {'pay_closed': 100}})
    stack.wait(lambda: payment(stack, order) == 6, 'the payment is refunded', 60)
    assert packet not in {p['packet'] for p in reconcile(stack, '--live')[1]['packets']}


@pytest.fixture
def to_sender(stack):
    config = stack.folder / 'etc/hongbao.cfg'
    before = config.read_text()

    def use(text):
        config.write_text(text)
        for service in SETTLE:
            stack.sv('restart', service)

    text = before.replace('check_max_ms = 5000;', 'check_max_ms = 5000; refused_transfer = "sender";')
    assert text != before
    use(text)
    yield
    use(before)


def test_a_transfer_refused_for_good_goes_back_to_the_sender_once(stack, faults, to_sender):  # noqa: F811
    packet = stack.open_packet(1001, 600, 2, split='equal')
    assert faults({'transfer': {'refuse': 100}}).status == 200
    claim = stack.claim(1602, packet).json['claim']
    before = stack.balance(1602)
    stack.wait(lambda: stack.claim(1602, packet).json['claim']['transfer_state'] == 'returned', 'the claim shows that it went back', 60)
    assert refunds(stack, packet) == [(3, 300, 2, 'done', 1001)]
    assert stack.rows('A', 'SELECT state FROM transfer WHERE order_no = %s', (claim['claim_no'],)) == ((5,),)
    assert stack.balance(1602) == before
    faults({})
    assert stack.claim(1002, packet).json['outcome'] == 'claimed'
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 0.5)
    assert len(refunds(stack, packet)) == 1
