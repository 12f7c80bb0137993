"""hbctl reconcile against the real finance-sim and databases: quiet books agree, and every kind of difference is found and named."""
import json
import os
import subprocess
import time
from pathlib import Path

import amqp
import hb
import pytest
from bot import hbctl
from test_finance_faults import faults  # noqa: F401 the fixture


def reconcile(stack, *words):
    """The exit code and what -o json says."""
    done = subprocess.run([hb.ROOT / 'dev', 'hbctl', '-o', 'json', 'reconcile', *words], capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'HB_NAME': stack.folder.name})
    assert done.returncode in (0, 10), done
    return done.returncode, json.loads(done.stdout)


def today():
    return time.strftime('%Y-%m-%d', time.gmtime())


def c2c(stack, cell='A', grace='0'):
    code, found = reconcile(stack, '--cell', cell, '--window', today(), '--domain', 'c2c', '--grace', grace)
    return code, {(d['thing'], d['number'], d['kind']): (d['ours'], d['theirs']) for d in found['differences']}, found


@pytest.fixture
def claimed(stack):
    """A finished envelope: packet, the payment's and the claim's numbers."""
    packet = stack.open_packet(1001, 100, 1)
    claim = stack.claim(1002, packet).json['claim']['claim_no']
    stack.wait(lambda: stack.rows('A', 'SELECT state FROM transfer WHERE order_no = %s', (claim,)) == ((2,),), 'the transfer is done')
    payment = stack.rows('A', 'SELECT order_no FROM payment WHERE packet_id = %s', (packet,))[0][0]
    return packet, str(payment), claim


def of(differences, *numbers):
    return {k: v for k, v in differences.items() if k[1] in numbers}


def test_what_is_done_here_and_there_is_no_difference(stack, claimed):
    _, payment, claim = claimed
    _, differences, found = c2c(stack)
    assert not of(differences, payment, claim)
    missing = sum(kind == 'missing_there' for _, _, kind in differences)  # tests of finance's faults leave some
    assert found['there'] >= found['here'] - missing > 0


def test_a_statement_with_a_wrong_amount(stack, faults, claimed):  # noqa: F811
    _, payment, claim = claimed
    faults({'transfer': {'statement_amount': 100}})
    code, differences, _ = c2c(stack)
    assert code == 10 and of(differences, payment, claim) == {('transfer', claim, 'amount'): (100, 101)}


def test_a_statement_with_a_line_missing(stack, faults, claimed):  # noqa: F811
    _, payment, claim = claimed
    faults({'payment': {'statement_missing': 100}})
    code, differences, _ = c2c(stack)
    assert code == 10 and of(differences, payment, claim) == {('payment', payment, 'missing_there'): (100, None)}


def test_a_statement_with_a_line_that_we_do_not_know(stack, faults, claimed):  # noqa: F811
    _, payment, claim = claimed
    faults({'transfer': {'statement_extra': 100}})
    code, differences, _ = c2c(stack)
    stranger = str(int(claim) + 4600000000000000000)
    assert code == 10 and of(differences, payment, claim, stranger) == {('transfer', stranger, 'missing_here'): (None, 100)}


def test_a_statement_with_a_line_twice(stack, faults, claimed):  # noqa: F811
    _, payment, claim = claimed
    faults({'all': {'statement_twice': 100}})
    code, differences, _ = c2c(stack)
    assert code == 10
    assert of(differences, payment, claim) == {('payment', payment, 'twice'): (None, 100), ('transfer', claim, 'twice'): (None, 100)}


def test_an_order_whose_state_denies_what_finance_moved(stack, claimed):
    """As if a time-out had been taken for a refusal: state 3, and the money is gone."""
    _, payment, claim = claimed
    stack.rows('A', 'UPDATE transfer SET state = 3 WHERE order_no = %s', (claim,))
    try:
        code, differences, _ = c2c(stack)
    finally:
        stack.rows('A', 'UPDATE transfer SET state = 2 WHERE order_no = %s', (claim,))
    assert code == 10 and of(differences, payment, claim) == {('transfer', claim, 'state'): (3, 100)}


def test_what_may_be_on_its_way_waits_for_its_grace(stack, claimed):
    _, _, claim = claimed
    stack.rows('A', 'UPDATE transfer SET state = 1, next_check_at = next_check_at + 600000 WHERE order_no = %s', (claim,))
    try:
        _, patient, found = c2c(stack, grace='3600')
        _, strict, _ = c2c(stack, grace='0')
    finally:
        stack.rows('A', 'UPDATE transfer SET state = 2, next_check_at = changed_at WHERE order_no = %s', (claim,))
    assert not of(patient, claim) and found['waiting'] >= 1
    assert of(strict, claim) == {('transfer', claim, 'state'): (1, 100)}


def test_a_difference_that_is_gone_stays_on_record(stack, faults, claimed):  # noqa: F811
    _, _, claim = claimed
    faults({'transfer': {'statement_amount': 100}})
    assert c2c(stack)[0] == 10
    faults({})
    assert not of(c2c(stack)[1], claim)
    rows = stack.rows('A', "SELECT kind, ours, theirs, gone_at IS NOT NULL FROM recon_diff WHERE order_no = %s", (claim,))
    assert rows == ((3, 100, 101, 1),)


def test_each_cell_compares_its_own_orders(stack, faults, claimed):  # noqa: F811
    _, payment, claim = claimed
    faults({'all': {'statement_amount': 100}})
    assert not of(c2c(stack, 'B')[1], payment, claim)


def test_a_window_that_is_no_day_and_unknown_words_are_usage_errors(stack):
    for words in (['--cell', 'A', '--window', '2026-11-22T08', '--domain', 'c2c'], ['--cell', 'A', '--window', 'today', '--domain', 'c2c'],
                  ['--cell', 'A', '--window', today(), '--domain', 'x'], ['--cell', 'A'], ['--live', '--cell', 'A']):
        done = subprocess.run([hb.ROOT / 'dev', 'hbctl', 'reconcile', *words], capture_output=True, env={**os.environ, 'HB_NAME': stack.folder.name})
        assert done.returncode == 2, (words, done)


def test_live_finds_an_envelope_that_gave_more_than_it_had(stack, claimed):
    packet, _, claim = claimed
    assert not [p for p in reconcile(stack, '--live')[1]['packets'] if p['packet'] == packet]
    stack.rows('A', 'UPDATE claim SET amount = amount + 1 WHERE claim_no = %s', (claim,))
    try:
        code, found = reconcile(stack, '--live')
    finally:
        stack.rows('A', 'UPDATE claim SET amount = amount - 1 WHERE claim_no = %s', (claim,))
    assert code == 10 and [p['claimed'] for p in found['packets'] if p['packet'] == packet] == [101]


def test_live_finds_more_received_than_sent_between_cells(stack):
    """A booking in without its booking out: money from nothing. A booking out alone is money under way."""
    def book(cell, kind, no, account, owner, amount):
        stack.rows(cell, 'INSERT INTO ledger VALUES (%s, %s, 1, %s, %s, %s, %s)', (kind, no, account, owner, amount, int(time.time() * 1000)))

    try:
        book('A', 9, 990001001, 7, 2, 500)
        code, found = reconcile(stack, '--live')
        flow = next(f for f in found['flows'] if (f['from'], f['to']) == ('A', 'B'))
        assert not flow['wrong'] and flow['out'] - flow['in'] == 500
        quiet = reconcile(stack, '--live', '--quiet')
        assert quiet[0] == 10 and next(f for f in quiet[1]['flows'] if (f['from'], f['to']) == ('A', 'B'))['wrong']
        book('B', 10, 990002001, 8, 1, -501)
        code, found = reconcile(stack, '--live')
        assert code == 10 and next(f for f in found['flows'] if (f['from'], f['to']) == ('A', 'B'))['wrong']
    finally:
        for cell in stack.cells:
            stack.rows(cell, 'DELETE FROM ledger WHERE source_no IN (990001001, 990002001)')


def b2c(stack, cell, grace='0'):
    hour = time.strftime('%Y-%m-%dT%H', time.gmtime())
    code, found = reconcile(stack, '--cell', cell, '--window', hour, '--domain', 'b2c', '--grace', grace)
    return code, {(d['thing'], d['number'], d['kind']): (d['ours'], d['theirs']) for d in found['differences']}


def test_bookings_between_cells_must_meet(stack):
    now = int(time.time() * 1000)
    try:
        stack.rows('B', 'INSERT INTO ledger VALUES (10, 990003001, 0, 8, 1, -300, %s)', (now,))
        stack.rows('A', 'INSERT INTO ledger VALUES (9, 990004001, 1, 7, 2, 200, %s), (9, 990005001, 1, 7, 2, 100, %s)', (now, now))
        stack.rows('B', 'INSERT INTO ledger VALUES (10, 990005001, 0, 8, 1, -99, %s)', (now,))
        code, here = b2c(stack, 'B')
        assert code == 10 and of(here, '990003001') == {('cells', '990003001', 'missing_there'): (-300, None)}
        code, there = b2c(stack, 'A')
        assert of(there, '990004001', '990005001') == {('cells', '990004001', 'missing_there'): (200, None), ('cells', '990005001', 'amount'): (100, -99)}
        assert not of(b2c(stack, 'A', grace='3600')[1], '990004001')
    finally:
        for cell in stack.cells:
            stack.rows(cell, 'DELETE FROM ledger WHERE source_no IN (990003001, 990004001, 990005001)')


def test_the_ledger_and_the_rows_that_it_stands_for_must_agree(stack):
    """Campaign 991: a lease of another amount, a subsidy nobody recorded, an envelope that spent more than its subsidy, a kept balance."""
    now = int(time.time() * 1000)
    legs = [(2, 991001, 1, 4, 991, 1000), (4, 99100001001, 1, 5, 991, 70), (6, 99100002001, 0, 5, 991, -50), (9, 99100003001, 0, 6, 991, -5)]
    try:
        stack.rows('A', "INSERT INTO campaign VALUES (991, 'planted', 1, 0, '{}', %s)", (now,))
        stack.rows('A', "INSERT INTO budget_lease (lease_id, campaign, amount, holder, state, created_at, ends_at, settle_at) "
                        "VALUES (991001, 991, 999, 'x', 1, %s, %s, %s), (991002, 991, 10, 'x', 1, %s, %s, %s)", (now, now, now + 86400000) * 2)  # not settled meanwhile
        stack.rows('A', 'INSERT INTO account VALUES (2, 991, 5)')
        for leg in legs:
            stack.rows('A', 'INSERT INTO ledger VALUES (%s, %s, %s, %s, %s, %s, %s)', (*leg, now))
        code, found = b2c(stack, 'A')
        mine = of(found, '991001', '991002', '99100001001', '99100002001', '99100003001', '991')
        assert code == 10 and mine == {
            ('lease', '991001', 'amount'): (999, 1000), ('lease', '991002', 'missing_there'): (10, None),
            ('subsidy', '99100001001', 'missing_here'): (None, 70), ('packet', '99100002001', 'missing_here'): (None, 50),
            ('credit', '99100003001', 'missing_here'): (None, 5), ('campaign', '991', 'amount'): (5, 0),
            ('usable', '991', 'amount'): (0, 20)}, mine
    finally:
        for sql in ('DELETE FROM campaign WHERE number = 991', 'DELETE FROM budget_lease WHERE campaign = 991', 'DELETE FROM account WHERE owner = 991',
                    'DELETE FROM ledger WHERE source_no IN (991001, 991002, 99100001001, 99100002001, 99100003001)'):
            stack.rows('A', sql)


def test_a_win_that_was_given_must_be_a_subsidy(stack):
    now = int(time.time() * 1000)
    config = hb.parse_libconfig((stack.folder / 'etc/hongbao.cfg').read_text())
    log = Path(config['paths']['wins']) / f'A.99.{time.strftime("%Y%m%d", time.gmtime())}.jsonl'

    def win(event, k, no, fen):
        return json.dumps({'e': event, 't': now, 'c': 992, 'r': 1, 'k': k, 'u': 7001, 'a': fen, 'no': no, 'l': 5, 'x': now}) + '\n'

    log.write_text(win('won', 0, 99200001001, 11) + win('given', 0, 99200001001, 11) + win('given', 1, 99200002001, 12) + win('given', 2, 99200003001, 13)
                   + win('won', 3, 99200004001, 14) + '{"e":"given","t":')
    try:
        for no, k, fen in ((99200001001, 0, 11), (99200002001, 1, 21)):
            stack.rows('A', 'INSERT INTO subsidy (subsidy_id, uid, issuer, out_order_no, campaign, lease_id, amount, state, expires_at, created_at, changed_at) '
                            "VALUES (%s, 7001, 'rain', %s, 992, 5, %s, 3, 1, 1, 1)", (no, f'992.1.{k}.7001', fen))
        code, found = b2c(stack, 'A')
        assert code == 10 and of(found, *(f'9920000{i}001' for i in (1, 2, 3, 4))) == {
            ('win', '99200002001', 'amount'): (21, 12), ('win', '99200003001', 'missing_here'): (None, 13)}
        assert not of(b2c(stack, 'A', grace='3600')[1], '99200003001')
    finally:
        log.unlink()
        stack.rows('A', 'DELETE FROM subsidy WHERE campaign = 992')


@pytest.fixture
def impatient(stack):
    """hb-worker reconcile compares without a grace, and looks every second."""
    config = stack.folder / 'etc/hongbao.cfg'
    before = config.read_text()

    def use(text):
        config.write_text(text)
        for cell in stack.cells:
            stack.sv('restart', f'{cell}-worker-reconcile')

    use(before + '\nrecon: { grace_s = 0; claim_grace_s = 0; every_s = 1; };\n')
    yield
    use(before)


def test_what_waited_when_a_person_compared_is_looked_at_again_by_the_worker(stack, impatient):
    """A win of the last moment of the hour before, that was given and lost: within the grace it may be on its way, and nothing else finds it."""
    hour = int(time.time()) // 3600 * 3600
    window, at, number = time.strftime('%Y-%m-%dT%H', time.gmtime(hour - 3600)), hour * 1000 - 1, 99300001001
    config = hb.parse_libconfig((stack.folder / 'etc/hongbao.cfg').read_text())
    log = Path(config['paths']['wins']) / f'A.98.{time.strftime("%Y%m%d", time.gmtime(hour - 3600))}.jsonl'
    log.write_text(json.dumps({'e': 'given', 't': at, 'c': 993, 'r': 1, 'k': 0, 'u': 7001, 'a': 11, 'no': number, 'l': 5, 'x': at}) + '\n')
    found = 'SELECT kind FROM recon_diff WHERE domain = 2 AND order_no = %s AND gone_at IS NULL'
    try:
        code, said = reconcile(stack, '--cell', 'A', '--window', window, '--domain', 'b2c', '--grace', '7200')
        assert said['waiting'] >= 1 and str(number) not in {d['number'] for d in said['differences']}, (code, said)
        stack.wait(lambda: stack.rows('A', found, (number,)) == ((1,),), 'the worker misses it', 60)
    finally:
        log.unlink()
        stack.rows('A', 'DELETE FROM recon_diff WHERE order_no = %s', (number,))


def claims(stack, grace='0'):
    hour = time.strftime('%Y-%m-%dT%H', time.gmtime())
    code, found = reconcile(stack, '--cell', 'A', '--window', hour, '--domain', 'claims', '--grace', grace)
    return code, {(d['thing'], d['number'], d['kind']): (d['ours'], d['theirs']) for d in found['differences']}, found


def test_a_claim_whose_message_rabbitmq_lost_is_found_and_pushed(stack):
    """Nothing sweeps claims: their transfers are made by who takes the message."""
    packet = stack.open_packet(1001, 100, 1)
    stack.sv('down', 'A-worker-transfer')
    try:
        claim = stack.claim(1002, packet).json['claim']['claim_no']
        connection = amqp.connect_to(stack)
        try:
            connection.drop(stack.wait(lambda: connection.take('A.transfer'), 'the message is in the queue'))
            stack.wait(lambda: stack.rows('A', 'SELECT COUNT(*) FROM outbox') == ((0,),), 'the outbox has forgotten it')
        finally:
            connection.close()
    finally:
        stack.sv('up', 'A-worker-transfer')
    _, patient, said = claims(stack, grace='3600')
    assert not of(patient, claim) and said['waiting'] >= 1
    code, differences, _ = claims(stack)
    assert code == 10 and of(differences, claim) == {('claim', claim, 'missing_there'): (100, None)}
    code, _, err = hbctl(stack, 'orders', 'push', claim, '--reason', 'a test')
    assert code == 0, err
    stack.wait(lambda: stack.rows('A', 'SELECT state FROM transfer WHERE order_no = %s', (claim,)) == ((2,),), 'it is paid')
    assert not of(claims(stack)[1], claim)
    code, _, err = hbctl(stack, 'orders', 'push', claim, '--reason', 'a test')
    assert code == 3 and 'nothing to push' in err, err
    code, _, err = hbctl(stack, 'orders', 'push', str(int(claim) + 100000000000), '--reason', 'a test')
    assert code == 1 and 'NOT_FOUND' in err, (code, err)


def test_a_transfer_of_another_amount_than_its_claim(stack, claimed):
    _, _, claim = claimed
    stack.rows('A', 'UPDATE transfer SET amount = 99 WHERE order_no = %s', (claim,))
    try:
        code, differences, _ = claims(stack)
    finally:
        stack.rows('A', 'UPDATE transfer SET amount = 100 WHERE order_no = %s', (claim,))
    assert code == 10 and of(differences, claim) == {('claim', claim, 'amount'): (100, 99)}
    assert not of(claims(stack)[1], claim)


def test_the_worker_has_compared_the_day_and_the_hour_before(stack):
    def ran(cell):
        return stack.rows(cell, 'SELECT domain, window_end - window_at FROM recon_run WHERE ended_at >= window_end ORDER BY domain') or ()

    for cell in stack.cells:
        stack.wait(lambda cell=cell: {(1, 86400000), (2, 3600000), (3, 3600000)} <= set(ran(cell)), f'all windows of cell {cell} are compared', 60)
