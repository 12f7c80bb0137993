"""Statements that users wait for touch one partition of packet, claim and invited, however many there are (docs/ageing.md).

The database itself says what is run: its general log while envelopes are sent, opened and looked at."""
import re

import ager as ageing
import hb
import pytest

TABLE = re.compile(r'\b(FROM|JOIN|INTO|UPDATE)\s+(packet|claim|invited)\b', re.I)
# Over all of time by their nature: the sweep's walk, and a sender's list.
WALKS = [re.compile(p) for p in (r'^SELECT packet_id, expires_at FROM packet WHERE state >=', r'FROM packet WHERE sender = ')]


@pytest.fixture
def logged(stack):
    """What cell A ran since. Without hb-worker watch, which counts and walks by its nature, and for which nobody waits."""
    stack.sv('down', 'A-worker-watch')
    since = stack.rows('A', 'SELECT NOW(6)')[0][0]
    stack.rows('A', "SET GLOBAL log_output = 'TABLE'")
    stack.rows('A', 'SET GLOBAL general_log = ON')

    def statements():
        rows = stack.rows('A', "SELECT command_type, argument FROM mysql.general_log WHERE event_time >= %s AND command_type IN ('Query', 'Execute')", (since,))
        return {part.strip() for _, text in rows for part in (text if isinstance(text, str) else text.decode('utf-8', 'replace')).split(';')}
    yield statements
    stack.rows('A', 'SET GLOBAL general_log = OFF')
    stack.rows('A', "SET GLOBAL log_output = 'FILE'")
    stack.sv('up', 'A-worker-watch')


def test_every_statement_of_an_envelope_s_life_reads_one_partition(stack, logged):
    with stack.db('A') as db, db.cursor() as c:
        c.execute("SELECT COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = 'hongbao' AND TABLE_NAME = 'packet'")
        assert c.fetchone()[0] >= 3
        packets = [stack.open_packet(1001, 1000, 4), stack.open_packet(1002, 1000, 2, scope='invited', invited=['1021', '1022'])]
        for uid in (1021, 1022, 1521):
            for packet in packets:
                assert stack.claim_until(uid, packet).status == 200
        for packet in packets:
            for path in ('', '/claims', '/fairness'):
                stack.call('GET', f'/v1/packets/{packet}{path}', 1021)
        stack.call('PUT', f'/v1/packets/{packets[0]}/video', 1001, {'video_id': 'v1'})
        stack.call('GET', '/v1/me/sent', 1001)
        stack.rows('A', 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (ageing.now_ms() - 1, packets[0]))
        stack.wait(lambda: stack.packet_state(packets[0]) == 5, 'the rest is refunded')
        wrong, seen, walks = [], 0, 0
        for text in logged():
            if not TABLE.search(text) or text.startswith(('EXPLAIN', 'UPDATE packet SET expires_at = ', 'INSERT INTO packet ')):
                continue  # the test's own, or a row with bytes that are no text
            text = re.sub(r'(state [<>]?= )\?', r'\g<1>2', text).replace('LIMIT ?', 'LIMIT 20').replace('JSON_TABLE(?', "JSON_TABLE('[1]'")
            text = text.replace('sender = ?', 'sender = 1001').replace('?', packets[0])  # the log has not always the values
            c.execute('EXPLAIN PARTITIONS ' + text)
            names = [d[0] for d in c.description]
            for row in (dict(zip(names, r)) for r in c.fetchall()):
                parts = (row['partitions'] or '').split(',')
                if row['table'] in (None, 'outbox') or not row['partitions']:
                    continue
                if any(w.search(text) for w in WALKS):
                    walks += 1
                    assert row['type'] in ('range', 'ref', 'system') and 'filesort' not in (row['Extra'] or ''), (text, row)
                    continue
                seen += 1
                if len(parts) != 1 or row['type'] == 'ALL':
                    wrong.append((text[:300], row['partitions'], row['type']))
        assert not wrong, wrong
        assert seen >= 12 and walks >= 2, (seen, walks)
        for what in ('INSERT INTO packet', 'INSERT INTO claim', 'UPDATE packet', 'FOR UPDATE SKIP LOCKED'):
            assert any(what in t for t in logged()), what


def test_a_batch_of_several_packets_reads_the_partitions_that_they_are_in(stack):
    """The one statement that a single envelope does not show: several packets, changed at once."""
    text = ('UPDATE (SELECT 0 id,0 s,0 r,0 c,0 was UNION ALL VALUES (100001001,2,5,1,2),(100101001,2,5,1,2)) AS v STRAIGHT_JOIN packet p '
            'ON p.packet_id=v.id SET p.state=v.s WHERE p.state=2')
    source = (hb.ROOT / 'lib/domain/claim_batch.c').read_text()
    assert 'UPDATE (SELECT 0 id,0 s,0 r,0 c,0 was UNION ALL VALUES ' in source
    with stack.db('A') as db, db.cursor() as c:
        c.execute('EXPLAIN PARTITIONS ' + text)
        names = [d[0] for d in c.description]
        row = next(r for r in (dict(zip(names, x)) for x in c.fetchall()) if r['table'] == 'p')
        assert row['type'] == 'eq_ref' and row['key'] == 'PRIMARY', row  # by its whole key, which names the partition
