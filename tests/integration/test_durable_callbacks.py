"""A callback is answered 204 only once it is durable: on the primary and on a replica. What was not answered 204 comes again, and all of it
takes effect once."""
import signal
import threading

import pytest
from test_callbacks import Finance, events, state

REPLICAS = ('A-db-west', 'A-db-north')


def tell(stack, finance, order, event, answers):
    """As finance does it; an answer that does not come within its time is none."""
    def call():
        try:
            answers.append(finance.call(order, finance.body(order), event=event).status)
        except OSError:
            answers.append(0)
    thread = threading.Thread(target=call)
    thread.start()
    return thread


@pytest.mark.parametrize('gone', [REPLICAS, ('A-db-east',)], ids=['no replica acknowledges', 'the database hangs'])
def test_no_204_before_it_is_durable_and_the_repeat_takes_effect_once(stack, gone):
    made = stack.send(1401, 500, 5).json
    packet, order = made['packet']['id'], made['payment']['order_no']
    finance, answers, after = Finance(stack), [], []
    for service in gone:
        stack.kill(service, signal.SIGSTOP)
    try:
        calls = [tell(stack, finance, order, 'durable', answers) for _ in range(3)]
        stack.wait(lambda: len(answers) == 3, 'finance has its answers', 60)
    finally:
        for service in gone:
            stack.kill(service, signal.SIGCONT)
        for call in calls:
            call.join()
    assert 204 not in answers and all(status == 0 or status >= 500 for status in answers), answers

    def repeated():
        after.append(finance.call(order, finance.body(order), event='durable').status)
        return after[-1] == 204
    for _ in range(2):
        stack.wait(repeated, 'the repeat is 204', 60)
    assert set(after) <= {204, 503}, after
    stack.wait(lambda: events(stack, order) == (1, 1), 'it is handled', 60)
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
    assert state(stack, order) == 2
    assert stack.rows('A', "SELECT COUNT(*) FROM parked WHERE body LIKE %s", (f'%{order}%',)) == ((0,),)
    stack.wait(lambda: _on_replica(stack, order), 'it is on a replica', 60)


def _on_replica(stack, order):
    with stack.db('A', 'west') as db, db.cursor() as c:
        c.execute('SELECT COUNT(handled_at) FROM finance_event WHERE order_no = %s', (order,))
        return c.fetchone()[0] == 1
