"""Callback, check and sweep: each of the three alone brings every order to its end."""
import time

import audit
import pytest

MECHANISMS = ('callback', 'check', 'sweep')
PROGRAMS = ('core-1', 'core-2', 'worker-callback', 'worker-check', 'worker-sweep')


@pytest.fixture
def alone(stack):
    """alone('check'): the other two are switched off until the test is over; payments last 8 s."""
    config = stack.folder / 'etc/hongbao.cfg'
    before = config.read_text()

    def use(text):
        config.write_text(text)
        for program in PROGRAMS:
            stack.sv('restart', f'A-{program}')
        stack.wait(lambda: stack.call('GET', '/v1/me/seed', 1001).status == 200, 'cell A serves')

    def only(mechanism):
        off = ''.join(f' by_{m} = false;' for m in MECHANISMS if m != mechanism)
        text = before.replace('check_max_ms = 5000;', f'check_max_ms = 5000;{off}')
        assert text != before
        use(text + '\npayment: { ttl_s = 8; };\n')

    yield only
    use(before)
    stack.finance_http.call('POST', '/sim/faults', {'reset': True})


@pytest.mark.parametrize('mechanism', MECHANISMS)
def test_each_mechanism_alone_is_enough(stack, alone, mechanism):
    alone(mechanism)
    # Nothing is decided in an answer: without its mechanism no order would ever end.
    slow = {'settle_ms': 300, 'callback_always': 1}
    assert stack.finance_http.call('POST', '/sim/faults', {'reset': True, 'transfer': slow, 'refund': slow}).status == 200
    never_paid = stack.send(1001, 100, 1).json['payment']['order_no']
    packet = stack.open_packet(1001, 500, 5)
    claims = [stack.claim(uid, packet).json['claim']['claim_no'] for uid in (1002, 1003, 1502)]
    stack.rows('A', 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (int(time.time() * 1000), packet))
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 0.5)
    stack.wait(lambda: stack.packet_state(packet) == 5, 'the packet is closed', 60)
    states = f"SELECT COUNT(*) FROM transfer WHERE state = 2 AND order_no IN ({','.join(claims)})"
    stack.wait(lambda: stack.rows('A', states) == ((3,),), 'every transfer is done', 60)
    stack.wait(lambda: stack.rows('A', 'SELECT state FROM payment WHERE order_no = %s', (never_paid,)) == ((4,),),
               'the payment that never came is closed', 60)
