"""Old packets leave: exported first, readable for a while, gone then; money, idempotency and the books stay. Cell A's own age worker
rests meanwhile, and one with short times does its work; packets of whoever was here before leave too."""
import hashlib
import json
import os
import random
import subprocess
import time

import ager as ageing
import audit
import b2c
import hb
import pytest
from conftest import use_config
from test_callbacks import Finance
from test_reconcile import reconcile

MEMORY = '\nclaim: { settled_s = 1; };\n'


@pytest.fixture(scope='module', autouse=True)
def short_memory(stack):
    """hb-core forgets settled packets after a second."""
    before = (stack.folder / 'etc/hongbao.cfg').read_text()
    use_config(stack, before + MEMORY)
    yield
    use_config(stack, before)


@pytest.fixture
def ager(stack, tmp_path):
    with ageing.instead_of_the_stack_s(stack, tmp_path) as a:
        yield a


class Old:
    """An exhausted and an expired c2c packet, one of b2c, one for invited users, one that was never paid."""
    def __init__(self, stack, a):
        self.keys = {}
        self.full = self.sent(stack, 1001, 1000, 3, greeting='"快"\\乐', client_nonce='n1')
        self.rest = self.sent(stack, 1002, 900, 2)
        self.few = self.sent(stack, 1003, 300, 2, scope='invited', invited=['1011', '1012'])
        self.unpaid = stack.send(1004, 500, 5, key='never-paid-' + os.urandom(4).hex()).json['packet']['id']
        self.given = b2c.packet(b2c.Campaign(stack), 1005, 500, 2)
        for packet, uids in ((self.full, (1010, 1011, 1501)), (self.rest, (1011,)), (self.few, (1011, 1012)), (self.given, (1013, 1502))):
            for uid in uids:
                assert stack.claim_until(uid, packet).json['outcome'] in ('claimed', 'already_claimed')
        self.all = (self.full, self.rest, self.few, self.unpaid, self.given)
        a.let_go()

    def sent(self, stack, uid, total, count, **more):
        key = os.urandom(12).hex()
        made = stack.send(uid, total, count, key=key, **more)
        assert made.status == 201, made
        packet = made.json['packet']['id']
        self.keys[packet] = (uid, total, count, key, more, made.json)
        stack.pay(made.json['payment']['cashier_url'])
        stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
        return packet

    def repeat(self, stack, packet):
        uid, total, count, key, more, first = self.keys[packet]
        return stack.send(uid, total, count, key=key, **more), first


@pytest.fixture
def old(stack, ager):
    return Old(stack, ager)


def seen(stack, o):
    """What the API says of the packets to who sent and who opened them."""
    paths = [f'/v1/packets/{p}{more}' for p in o.all if p != o.unpaid for more in ('', '/claims', '/fairness')]
    return {(uid, path): {**stack.call('GET', path, uid).json, 'request_id': None} for path in paths for uid in (1011, 1005)}, \
           {uid: stack.call('GET', '/v1/me/sent?limit=5', uid).json for uid in (1001, 1002, 1003, 1005)}


def test_what_is_exported_can_still_be_read_and_is_gone_when_its_time_is_over(stack, ager, old):
    before = seen(stack, old)
    received = stack.call('GET', '/v1/me/received', 1011).json
    assert {old.full, old.rest, old.few} <= {r['packet_id'] for r in received['data']}
    ager.start()
    ager.wait(old.full, 'exported')
    assert seen(stack, old) == before

    # the files are what sha256sum and jq see
    folder = ager.files(old.full)
    manifest = json.loads((folder / 'manifest.json').read_text())
    for table in manifest['tables']:
        data = (folder / table['file']).read_bytes()
        assert (len(data), data.count(b'\n'), hashlib.sha256(data).hexdigest()) == (table['bytes'], table['rows'], table['sha256'])
        name, below = table['file'].removesuffix('.jsonl'), int(manifest['below'])
        assert table['rows'] == ager.sql(f'SELECT COUNT(*) FROM {name} WHERE packet_id < %s AND packet_id >= %s', (below, int(manifest['from'])))[0][0] > 0
    lines = [json.loads(x) for x in (folder / 'packet.jsonl').read_text().splitlines()]
    mine = next(x for x in lines if x['packet_id'] == old.full)
    assert (mine['greeting'], mine['total'], bytes.fromhex(mine['nonce'])) == ('"快"\\乐', 1000, b'n1')
    assert {x['uid'] for x in map(json.loads, (folder / 'claim.jsonl').read_text().splitlines()) if x['packet_id'] == old.full} == {'1010', '1011', '1501'}
    # and nothing of it changes any more
    late = stack.call('PUT', f'/v1/packets/{old.full}/video', 1001, {'video_id': 'v1'})
    assert (late.status, late.code) == (410, 'PACKET_AGED')

    ager.start(readable_s=1)
    ager.wait(old.full, 'gone')
    for packet in old.all:
        for path in ('', '/claims', '/fairness'):
            answer = stack.call('GET', f'/v1/packets/{packet}{path}', 1011)
            assert (answer.status, answer.code) == (410, 'PACKET_AGED'), (packet, path, answer)
    assert not {old.full, old.rest} & {p['id'] for uid in (1001, 1002) for p in stack.call('GET', '/v1/me/sent', uid).json['data']}
    assert stack.call('GET', '/v1/me/received', 1011).json == received
    assert stack.call('GET', '/v1/packets/99999001', 1011).code == 'NOT_FOUND'
    assert stack.call('GET', f'/v1/payments/{old.keys[old.full][5]["payment"]["order_no"]}', 1001).json['state'] == 'paid'


def gone(ager, old):
    ager.start(readable_s=0)
    ager.wait(old.full, 'gone')


def test_repeats_after_a_packet_has_left(stack, ager, old):
    claim = ager.sql('SELECT claim_no, uid, amount FROM claim WHERE packet_id = %s ORDER BY idx LIMIT 1', (old.full,))[0]
    event = json.dumps([{'no': claim[0], 'p': int(old.full), 'u': claim[1], 'a': claim[2], 's': 1001, 'k': 1, 't': ageing.now_ms()}])
    counts = 'SELECT (SELECT COUNT(*) FROM payment), (SELECT COUNT(*) FROM transfer), (SELECT COUNT(*) FROM refund), (SELECT COUNT(*) FROM idempotency), ' \
             '(SELECT COUNT(*) FROM parked), (SELECT COUNT(*) FROM received)'
    gone(ager, old)
    was, ledger = ager.sql(counts), ager.sql('SELECT COUNT(*), SUM(amount) FROM ledger')

    for packet in old.keys:  # the sender repeats: the first answer, and no second packet
        again, first = old.repeat(stack, packet)
        assert again.status == 201 and again.headers['idempotent-replayed'] == 'true', again
        assert again.json['packet'] == first['packet'] | {'expires_at': again.json['packet']['expires_at']}  # let_go moved the payment's
        assert again.json['payment']['order_no'] == first['payment']['order_no']
    for uid in (1010, 1099):  # who opened it and who comes late
        stack.wait(lambda uid=uid: stack.claim(uid, old.full).code == 'PACKET_AGED', f'{uid} hears that it is too old')
    # the claim's message comes once more, and finance's callback
    ager.sql('INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (1, %s, 0, %s, %s)', (claim[0], ageing.now_ms(), event))
    order = old.keys[old.full][5]['payment']['order_no']
    finance = Finance(stack)
    assert finance.call(order, finance.body(order, amount=1000)).status == 204
    assert finance.call(str(claim[0]), finance.body(claim[0], amount=claim[2], kind='transfer')).status == 204
    stack.wait(lambda: not ager.sql('SELECT 1 FROM outbox LIMIT 1'), 'the messages are out')
    stack.wait(lambda: not ager.sql('SELECT 1 FROM finance_event WHERE handled_at IS NULL LIMIT 1'), 'the callbacks are handled')
    later_claim_is_paid(stack)
    assert tuple(a - b for a, b in zip(ager.sql(counts)[0], was[0])) == (1, 1, 0, 1, 0, 1)  # the later one's
    assert ager.sql('SELECT COUNT(*), SUM(amount) FROM ledger') == ledger


def later_claim_is_paid(stack):
    """The claim's message has been handled: a later one of the same queue has been."""
    packet = stack.open_packet(1006, 100, 1)
    stack.claim_until(1007, packet)
    stack.wait(lambda: stack.rows('A', 'SELECT 1 FROM transfer WHERE packet_id = %s AND state = 2', (packet,)), 'a later claim is paid')


def test_the_books_agree_after_packets_have_left(stack, ager, old):
    hour = time.strftime('%Y-%m-%dT%H', time.gmtime())
    assert not [f for f in audit.audit(stack, old.all)]
    gone(ager, old)
    assert not [f for f in audit.audit(stack, old.all)]
    code, found = reconcile(stack, '--cell', 'A', '--window', hour, '--domain', 'b2c', '--grace', '3600')
    assert not [d for d in found['differences'] if d['thing'] in ('packet', 'credit', 'subsidy')], found
    assert found['left'] >= (1 if hour == time.strftime('%Y-%m-%dT%H', time.gmtime()) else 0)
    assert not [p for p in reconcile(stack, '--live')[1]['packets']]


def test_new_packets_get_numbers_of_ranges_that_are_open(stack, ager, old):
    """hb-core still has old numbers in hand."""
    gone(ager, old)
    below = ager.sql('SELECT closed_below FROM age_mark')[0][0]
    assert int(old.given) < below
    for _ in range(6):
        made = stack.send(1001, 100, 1)
        assert made.status == 201 and int(made.json['packet']['id']) >= below, made
    packet = b2c.packet(b2c.Campaign(stack), 1005, 100, 1)
    assert int(packet) >= below


KEEPS = {
    'packet': ("UPDATE packet SET state = 4 WHERE packet_id = %(rest)s", "UPDATE packet SET state = 5 WHERE packet_id = %(rest)s", 'a packet is not at its end'),
    'payment': ("UPDATE payment SET state = 5, next_check_at = 9e12, tries = 1000 WHERE packet_id = %(full)s",  # nobody's turn
                "UPDATE payment SET state = 2, tries = 0 WHERE packet_id = %(full)s", 'a payment is not at its end'),
    'transfer': ("UPDATE transfer SET state = 1, next_check_at = 9e12, tries = 1000 WHERE packet_id = %(rest)s",
                 "UPDATE transfer SET state = 2, tries = 0 WHERE packet_id = %(rest)s", 'a transfer is not at its end'),
    'refund': ("UPDATE refund SET state = 1, next_check_at = 9e12, tries = 1000 WHERE packet_id = %(rest)s",
               "UPDATE refund SET state = 2, tries = 0 WHERE packet_id = %(rest)s", 'a refund is not at its end'),
    'young': ("UPDATE packet SET expires_at = 9e12 WHERE packet_id = %(full)s", "UPDATE packet SET expires_at = 1 WHERE packet_id = %(full)s",
              'a packet is not old enough'),
    'outbox': ("INSERT INTO outbox (kind, business_no, lease_until, created_at, payload) VALUES (2, 1, 9e12, 1, '[]')", "DELETE FROM outbox WHERE created_at = 1",
               'an event of that time is still in the outbox'),
    'claim': ("UPDATE transfer SET order_no = order_no + 1 WHERE packet_id = %(rest)s", "UPDATE transfer SET order_no = order_no - 1 WHERE packet_id = %(rest)s",
              '"event":"age.not_final"'),
}


@pytest.mark.parametrize('thing', KEEPS)
def test_nothing_leaves_that_is_not_at_its_end(stack, ager, old, thing):
    spoil, mend, why = KEEPS[thing]
    numbers = {'rest': int(old.rest), 'full': int(old.full)}
    ager.sql(spoil, numbers)
    try:
        ager.start(readable_s=0)
        ager.wait(old.full, 'closed')
        stack.wait(lambda: ager.says(why), f'the worker says: {why}')
        again = ager.log.read_text().count('"event"')
        if thing == 'claim':  # it is met in the walk, every time
            stack.wait(lambda: ager.log.read_text().count('"event"') > again, 'the worker has tried again')
        assert ager.state_of(old.full) == ageing.STATES['closed'] and not (ager.files(old.full) / 'manifest.json').exists()
    finally:
        ager.sql(mend, numbers)
    ager.wait(old.full, 'gone')


def test_an_export_that_is_not_what_the_tables_hold_is_made_again(stack, ager, old):
    ager.start()
    ager.wait(old.full, 'exported')
    ager.stop()
    path = ager.files(old.full) / 'claim.jsonl'
    good = path.read_bytes()
    for spoil in (lambda: path.write_bytes(good[:-40]), path.unlink, (ager.files(old.full) / 'manifest.json').unlink,
                  lambda: ager.sql("UPDATE packet SET greeting = 'x' WHERE packet_id = %s", (old.rest,))):
        spoil()
        count = ager.log.read_text().count('age.export_differs')
        ager.start(readable_s=0, every_ms=300)
        stack.wait(lambda count=count: ager.log.read_text().count('age.export_differs') > count, 'it is seen')
        ager.kill()
        assert ager.sql('SELECT COUNT(*) FROM packet WHERE packet_id = %s', (old.full,)) == ((1,),)
        ager.start()
        ager.wait(old.full, 'exported')
        ager.stop()
    gone(ager, old)
    assert path.read_bytes() == good


def test_kill_9_while_an_export_cannot_be_finished(stack, ager, old):
    """The second file's place is taken: the first is there, the others are not."""
    below = ager.range_of(old.full)[0]
    stone = ager.folder / 'A' / str(below) / 'invited.jsonl'
    stone.mkdir(parents=True)
    ager.start(readable_s=0)
    stack.wait(lambda: ager.says('"event":"age.file"'), 'the export fails')
    told = "SELECT COUNT(*) FROM alert WHERE kind = 4 AND subject = 'folder'"
    stack.wait(lambda: ager.sql(told) == ((1,),), 'somebody is told')
    ager.kill()
    assert ager.state_of(old.full) == ageing.STATES['closed'] and (stone.parent / 'packet.jsonl').is_file()
    assert ager.sql(told) == ((1,),)
    ager.sql("DELETE FROM alert WHERE kind = 4 AND subject = 'folder'")
    stone.rmdir()
    gone(ager, old)


@pytest.mark.parametrize('table', ['packet', 'invited', 'claim'])
def test_kill_9_between_the_drops_and_a_table_in_use_holds_nobody_up(stack, ager, old, table):
    """A long transaction on the table keeps it from being changed; claims and sends go on, and whoever comes next finishes."""
    ager.start()
    ager.wait(old.full, 'exported')
    ager.stop()
    packet = stack.open_packet(1001, 1000, 50)
    assert ager.range_of(packet) != ager.range_of(old.full)
    with stack.db('A') as db, db.cursor() as c:
        c.execute('START TRANSACTION')
        c.execute(f'SELECT * FROM {table} LIMIT 1')
        ager.start(readable_s=0)
        ager.wait(old.full, 'leaving')
        stack.wait(lambda: ager.says('"event":"age.step"') and
                   (table == 'packet' or not ager.sql('SELECT 1 FROM packet WHERE packet_id = %s', (old.full,))), 'the table cannot be changed')
        slowest = 0
        for uid in range(2000, 2020):
            began = time.monotonic()
            assert stack.claim_until(uid, packet).json['outcome'] == 'claimed'
            slowest = max(slowest, time.monotonic() - began)
        ager.kill()
        assert slowest < 3 * hb.SLOW, slowest  # a second for the table, and what the machine adds
        same = tuple(int(p) for p in old.all if ager.range_of(p) == ager.range_of(old.full))  # the others may be of the next second
        there = {t: ager.sql(f'SELECT COUNT(*) FROM {t} WHERE packet_id IN %s', (same,))[0][0] > 0 for t in ('packet', 'claim')}
        assert there == {'packet': table == 'packet', 'claim': True}
        if table != 'packet':
            assert stack.call('GET', f'/v1/packets/{old.full}', 1011).code == 'PACKET_AGED'
        db.rollback()
    gone(ager, old)
    assert not ager.sql('SELECT 1 FROM claim WHERE packet_id IN %s', (same,))
    assert not audit.audit(stack, old.all)


def test_kill_9_at_random_while_many_ranges_leave(stack, ager):
    """Every number of every packet is in a file of the folder, once, when it is gone from the tables."""
    seed = int(os.environ.get('HB_TEST_SEED', time.time()))
    print('seed', seed)
    rng, packets, end = random.Random(seed), [], time.monotonic() + 25 * hb.SLOW
    ager.let_go()
    while time.monotonic() < end:
        ager.start(readable_s=1, every_ms=100)
        for uid in (1001, 1002):
            packet = stack.open_packet(uid, 100, 2)
            for claimer in (1011, 1501):
                stack.claim_until(claimer, packet)
            packets.append(packet)
            ager.sql('UPDATE packet SET expires_at = %s WHERE packet_id = %s', (ageing.now_ms() - 5000, packet))
        time.sleep(rng.uniform(0, 1.2))  # the hazard itself
        ager.kill()
    ager.let_go()
    ager.start(readable_s=0)
    for packet in packets[:-2]:
        ager.wait(packet, 'gone')
    assert len({ager.range_of(p)[0] for p in packets}) >= 3
    lines = [json.loads(x)['packet_id'] for f in (ager.folder / 'A').glob('*/packet.jsonl') for x in f.read_text().splitlines()]
    assert len(lines) == len(set(lines)) and set(packets[:-2]) <= set(lines)
    claims = [json.loads(x) for f in (ager.folder / 'A').glob('*/claim.jsonl') for x in f.read_text().splitlines()]
    assert len([c for c in claims if c['packet_id'] in packets[:-2]]) == 2 * len(packets[:-2])
    assert not audit.audit(stack, packets[:-2])  # the last two may be half out just now


def test_the_database_user_may_change_only_these_tables(stack):
    password = (stack.folder / 'secrets/db.hb_age').read_text().strip()
    def run(sql):
        return subprocess.run(['mariadb', '--no-defaults', '-h', '127.0.0.1', '-P', str(stack.member('A')['mysql_port']), '-u', 'hb_age', 'hongbao', '-e', sql],
                              env={**os.environ, 'MYSQL_PWD': password}, capture_output=True, text=True)
    assert run('SELECT COUNT(*) FROM packet').returncode == 0
    for sql in ('DROP TABLE ledger', 'DELETE FROM packet', 'UPDATE claim SET amount = 1', 'DELETE FROM transfer', 'SELECT * FROM subsidy', 'DELETE FROM packet_left',
                'TRUNCATE transfer', 'CREATE TABLE x (a INT)', 'UPDATE ledger SET amount = 0'):
        assert 'denied' in run(sql).stderr, sql
