"""Finance misbehaves on demand (sim/knobs.def), one fault at a time: what each must not do to our books."""
import audit
import pytest


@pytest.fixture
def faults(stack):
    """faults({...}): how finance misbehaves until the test is over."""
    yield lambda change: stack.finance_http.call('POST', '/sim/faults', {'reset': True, **change})
    stack.finance_http.call('POST', '/sim/faults', {'reset': True})


def test_a_callback_that_comes_before_the_answer_pays_once(stack, faults):
    packet = stack.open_packet(1001, 100, 1)
    assert faults({'transfer': {'callback_first': 100, 'callback_always': 1, 'callback_first_ms': 3000}}).status == 200
    claim = stack.claim(1002, packet).json['claim']['claim_no']

    def told_first():
        row = stack.finance_db().execute('SELECT delivered_at FROM events WHERE order_no = ?', (claim,)).fetchone()
        handled = stack.rows('A', 'SELECT handled_at FROM finance_event WHERE order_no = %s', (claim,))
        return row and row[0] and handled and handled[0][0]

    stack.wait(told_first, 'the callback has been handled')
    assert stack.rows('A', 'SELECT state FROM transfer WHERE order_no = %s', (claim,)) == ((2,),)
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree')
