"""A pile of one kind of what is due keeps nothing else waiting: the sweep looks at each in its turn, and expires between two questions."""
import time

import pytest
from test_finance_faults import faults  # noqa: F401 the fixture

PILE = 3000  # 15 batches, and at 50 ms a question more than all threads come to within a minute


@pytest.fixture
def never_paid(stack, faults):  # noqa: F811
    """Payments that are due and stay it: finance has heard of none, and takes its time to say so."""
    now = int(time.time() * 1000)
    first = 2 * now  # far beyond what the cell has given
    rows = [((first + i) * 100000 + 1001, (first + i) * 100000 + 1001, 1001, 100, 1, 0, now + 3600000, now, now) for i in range(PILE)]
    assert faults({'payment': {'delay': 100, 'delay_ms': 50}}).status == 200
    numbers = rows[0][0], rows[-1][0]
    try:
        with stack.db('A') as db, db.cursor() as c:
            c.executemany('INSERT INTO payment (order_no, packet_id, payer, amount, state, next_check_at, expires_at, created_at, changed_at) '
                          f'VALUES ({", ".join(["%s"] * 9)})', rows)
        yield lambda: stack.rows('A', 'SELECT COUNT(*) FROM payment WHERE state = 1 AND next_check_at <= %s AND order_no BETWEEN %s AND %s',
                                 (int(time.time() * 1000), *numbers))[0][0]
    finally:  # closed, for their check messages still come
        stack.rows('A', 'UPDATE payment SET state = 4 WHERE order_no BETWEEN %s AND %s', numbers)


def test_an_expired_envelope_is_refunded_while_thousands_of_payments_are_due(stack, never_paid):
    packet = stack.open_packet(1001, 500, 5)
    swept = stack.metric('hb_swept_total', kind='payment')
    stack.wait(lambda: stack.metric('hb_swept_total', kind='payment') > swept + 20, 'the sweep is at the payments', 60)
    stack.rows('A', 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (int(time.time() * 1000), packet))
    stack.wait(lambda: stack.packet_state(packet) in (4, 5), 'the envelope is refunding', 10)
    assert never_paid() > PILE / 2
