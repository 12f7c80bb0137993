"""How database members start: the control record decides, and a primary takes writes only when a replica has all it has."""
from pathlib import Path

import pymysql


def variable(stack, cell, site, name):
    """None while the member does not answer."""
    try:
        with stack.db(cell, site) as db, db.cursor() as cursor:
            cursor.execute(f'SELECT @@GLOBAL.{name}')
            return cursor.fetchone()[0]
    except pymysql.MySQLError:
        return None


def sequence(position):
    """Of a GTID position of one domain; 0 before the first transaction."""
    return int(position.rsplit('-', 1)[1]) if position else 0


def program(stack, service):
    pid = stack.pid(service)
    return Path(f'/proc/{pid}/comm').read_text().strip() if pid else None


def test_a_killed_primary_is_read_only_until_a_replica_has_its_position(stack):
    packet = stack.open_packet(1501, 1000, 10)
    for site in ('east', 'north'):
        stack.sv('down', f'B-db-{site}')
    try:
        old = stack.kill('B-db-west')
        stack.wait(lambda: stack.pid('B-db-west') not in (None, old), 'the primary is started again')
        stack.wait(lambda: variable(stack, 'B', 'west', 'rpl_semi_sync_master_enabled') == 1, 'the settler is at work')
        assert variable(stack, 'B', 'west', 'read_only') == 1
        refused = stack.claim(1502, packet)
        assert refused.status == 503, refused
        assert variable(stack, 'B', 'west', 'read_only') == 1
    finally:
        stack.sv('up', 'B-db-north')
    stack.wait(lambda: variable(stack, 'B', 'west', 'read_only') == 0, 'one replica is enough')
    stack.sv('up', 'B-db-east')
    assert stack.claim_until(1502, packet).json['outcome'] in ('claimed', 'already_claimed')
    end = sequence(variable(stack, 'B', 'west', 'gtid_binlog_pos'))
    for site in ('east', 'north'):
        stack.wait(lambda site=site: sequence(variable(stack, 'B', site, 'gtid_slave_pos')) >= end, f'the replica at {site} follows')


def test_a_member_does_not_guess_its_role_while_etcd_is_away(stack):
    packet = stack.open_packet(1001, 1000, 10)
    stack.sv('down', 'etcd')
    try:
        old = stack.kill('A-db-north')
        stack.wait(lambda: stack.pid('A-db-north') not in (None, old), 'it is started again')
        assert stack.claim_until(1002, packet).json['outcome'] == 'claimed', 'what runs goes on without etcd'
        assert program(stack, 'A-db-north') == 'hbctl', 'it still asks'
    finally:
        stack.sv('up', 'etcd')
    stack.wait(lambda: program(stack, 'A-db-north') == 'mariadbd', 'it has its role')
    stack.wait(lambda: stack.rows('A', "SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")[0][1] == '2', 'it follows and acknowledges again')
