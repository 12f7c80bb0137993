"""What people are told: of a message that RabbitMQ gave up, of books that differ; not too often, and each thing once. And what they can do."""
import time

import amqp
from bot import bot, bot_every, hbctl, parked  # noqa: F401 the fixtures
from test_callbacks import Finance, events, state
from test_finance_faults import faults  # noqa: F401 the fixture
from test_reconcile import c2c, claimed, today  # noqa: F401 the fixture

DELIVERIES = 100  # QUEUE_DELIVERIES of lib/domain/queue.h


def test_a_message_that_rabbitmq_gave_up_is_parked_told_once_and_works_when_it_is_put_back(stack, bot):  # noqa: F811
    """As if it had killed its consumer each time."""
    made = stack.send(1401, 500, 5).json
    packet, order = made['packet']['id'], made['payment']['order_no']
    finance, counted = Finance(stack), stack.metric('hb_parked_total')
    stack.sv('down', 'A-worker-callback')
    try:
        assert finance.call(order, finance.body(order)).status == 204
        connection, taken = amqp.connect_to(stack), 0
        try:
            def gone():
                nonlocal taken
                tag = connection.take('A.callback')
                if tag is not None:
                    taken += 1
                    connection.give_back(tag)
                return taken > DELIVERIES
            stack.wait(gone, 'it has been delivered so often', 120, 0.002)
        finally:
            connection.close()
        message, = stack.wait(lambda: parked(stack, order), 'it is parked', 60)
        assert message['queue'] == 'A.callback' and message['reason'] == 'RabbitMQ: delivery_limit', message
        assert stack.metric('hb_parked_total') == counted + 1
        mine = f'message {message["id"]} of A.callback is parked (RabbitMQ: delivery_limit)'
        stack.wait(lambda: any(mine in text for text in bot), 'the bot is told')
        stack.sv('restart', 'A-worker-alert')
        assert events(stack, order) == (1, 0) and state(stack, order) == 1
        code, _, err = hbctl(stack, 'orders', 'push', '--parked', str(message['id']), '--cell', 'A', '--reason', 'a test')
        assert code == 0, err
        assert not parked(stack, order)
    finally:
        stack.sv('up', 'A-worker-callback')
    stack.wait(lambda: events(stack, order) == (1, 1), 'the message has taken effect', 60)
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet is open')
    assert not parked(stack, order) and sum(mine in text for text in bot) == 1


def test_alerts_of_a_while_come_in_one_message_that_counts_what_it_does_not_spell_out(stack, bot_every):  # noqa: F811
    told = bot_every(3000)
    name = f'pace {time.time_ns()}'

    def alert(first, end):
        with stack.db('A') as db, db.cursor() as c:
            c.executemany('INSERT INTO alert (kind, subject, text, created_at) VALUES (2, %s, %s, 1)',
                          [(f'{name} {n}', f'{name}, thing {n}') for n in range(first, end)])

    def mine():
        return [text for text in told if name in text]

    try:
        alert(0, 1)
        stack.wait(mine, 'the first is told at once')
        for first in range(1, 26, 5):
            alert(first, first + 5)
        stack.wait(lambda: len(mine()) > 1, 'the others are told', 60)
        first, second = mine()
        assert f'{name}, thing 0' in first and f'{name}, thing 0' not in second
        shown = sum(f'{name}, thing {n}\n' in second + '\n' for n in range(1, 26))
        assert '25 alerts' in second and shown == 20 and 'and 5 more' in second, second
        assert told.at[told.index(second)] - told.at[told.index(first)] >= 2.9
        sent = 'SELECT COUNT(*) FROM alert WHERE subject LIKE %s AND sent_at IS NOT NULL'
        stack.wait(lambda: stack.rows('A', sent, (f'{name}%',)) == ((26,),), 'all are marked as told')
        assert len(mine()) == 2
    finally:
        stack.rows('A', 'DELETE FROM alert WHERE subject LIKE %s', (f'{name}%',))


def test_books_that_differ_are_told_once_for_each_kind_and_again_when_they_differ_again(stack, bot, faults, claimed):  # noqa: F811
    _, payment, claim = claimed
    stack.rows('A', 'DELETE FROM alert WHERE kind = 3')

    def told(kind):
        return [text for text in bot if f'the books of c2c {today()} differ: {kind}, ' in text]

    faults({'transfer': {'statement_amount': 100}, 'payment': {'statement_missing': 100}})
    for _ in range(2):
        code, differences, _ = c2c(stack)
        assert code == 10 and ('transfer', claim, 'amount') in differences and ('payment', payment, 'missing_there') in differences
    stack.wait(lambda: told('amount') and told('missing_there'), 'the bot is told of both kinds')
    of_kind = {kind: sum(k == kind for _, _, k in differences) for kind in ('amount', 'missing_there')}
    assert f'differ: amount, {of_kind["amount"]} time' in told('amount')[0] and f'--cell A --window {today()} --domain c2c' in told('amount')[0]
    assert f'differ: missing_there, {of_kind["missing_there"]} time' in told('missing_there')[0]
    faults({'payment': {'statement_missing': 100}})
    c2c(stack)
    faults({'transfer': {'statement_amount': 100}, 'payment': {'statement_missing': 100}})
    c2c(stack)
    stack.wait(lambda: len(told('amount')) == 2, 'it is told again after it was gone')
    assert len(told('missing_there')) == 1
    rows = stack.rows('A', 'SELECT subject FROM alert WHERE kind = 3 AND subject LIKE %s', (f'c2c {today()} %',))
    assert len(rows) == len(set(rows)) and {f'c2c {today()} amount', f'c2c {today()} missing_there'} <= {r[0] for r in rows}


def test_hours_that_nobody_compared_are_made_up_for_oldest_first_and_not_without_end(stack):
    config, hour = stack.folder / 'etc/hongbao.cfg', 3600000
    before, now = config.read_text(), int(time.time() * 1000)
    ran = stack.rows('A', 'SELECT * FROM recon_run')
    stack.sv('down', 'A-worker-reconcile')
    try:
        stack.rows('A', 'DELETE FROM recon_run WHERE domain = 2')
        long_ago = now // hour * hour - 10 * hour
        stack.rows('A', 'INSERT INTO recon_run (domain, window_at, window_end, began_at, ended_at) VALUES (2, %s, %s, 1, %s)',
                   (long_ago, long_ago + hour, long_ago + hour))
        config.write_text(before + '\nrecon: { grace_s = 0; back_s = 14400; };\n')
        stack.sv('up', 'A-worker-reconcile')
        last = now // hour * hour

        def compared():
            return stack.rows('A', 'SELECT window_at, window_end - window_at FROM recon_run WHERE domain = 2 AND began_at > 1 AND ended_at >= window_end '
                                   'ORDER BY began_at, window_at')
        stack.wait(lambda: last - hour in {w for w, _ in compared()}, 'the last hour is compared', 120)
        windows = [w for w, _ in compared() if w < last]
        assert windows == [last - 4 * hour, last - 3 * hour, last - 2 * hour, last - hour], [(w - last) / hour for w in windows]
        assert {length for _, length in compared()} == {hour}
    finally:
        config.write_text(before)
        stack.sv('restart', 'A-worker-reconcile')
        with stack.db('A') as db, db.cursor() as c:
            c.executemany(f'REPLACE INTO recon_run VALUES ({", ".join(["%s"] * len(ran[0]))})', ran)


def test_an_idle_cell_is_looked_at_once_a_round_and_not_once_a_thread(stack):
    """By the statements that the primary sees of a sweep with four threads: sweep.every_ms is 50."""
    seconds = 3
    with stack.db('A') as db, db.cursor() as c:
        c.execute('SELECT @@GLOBAL.general_log, @@GLOBAL.log_output')
        was = c.fetchone()
        c.execute('TRUNCATE mysql.general_log')
        try:
            c.execute("SET GLOBAL log_output = 'TABLE'")
            c.execute('SET GLOBAL general_log = 1')
            began = time.monotonic()
            stack.wait(lambda: time.monotonic() - began >= seconds, 'some rounds are over')
            c.execute('SET GLOBAL general_log = 0')
            took = time.monotonic() - began
            c.execute("SELECT COUNT(*) FROM mysql.general_log WHERE command_type IN ('Execute', 'Query') AND user_host LIKE '%hb_worker%' "
                      "AND argument LIKE '%FROM withdrawal WHERE state = %next_check_at <=%SKIP LOCKED%'")
            looks = c.fetchone()[0]
        finally:
            c.execute('SET GLOBAL general_log = %s', (was[0],))
            c.execute('SET GLOBAL log_output = %s', (was[1],))
    assert 1 <= looks <= 2 * (took / 0.05 + 1), (looks, took)  # pending and refusing ones are two looks
