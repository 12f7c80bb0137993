"""What each program's user of the database may do: what its statements need, and nothing else (sql/migrations/006_rights.sql)."""
import itertools

import pymysql
import pytest

DENIED = {1044, 1045, 1142, 1143, 1227, 1419}  # database, login, table, column, privilege, trigger
USERS = ('hb_core', 'hb_query', 'hb_worker', 'hb_rain', 'hb_age', 'hb_repl')
TABLES = ('packet', 'claim', 'invited', 'user_seed', 'idempotency', 'payment', 'transfer', 'refund', 'received', 'outbox', 'finance_event',
          'parked', 'campaign', 'budget_lease', 'tracking', 'subsidy', 'account', 'ledger', 'withdrawal', 'alert', 'recon_run', 'recon_diff',
          'cell_epoch', 'heartbeat', 'id_block', 'age_range', 'age_mark', 'packet_left', 'schema_version')
# Each touches no row; what a user lacks is said before anything is done.
ASKS = {'SELECT': 'SELECT * FROM {} LIMIT 0', 'INSERT': 'INSERT INTO {0} SELECT * FROM {0} WHERE 1 = 0', 'UPDATE': 'UPDATE {} SET {} = {} WHERE 1 = 0',
        'DELETE': 'DELETE FROM {} WHERE 1 = 0'}
CHANGES = ('CREATE TABLE hb_mine (id INT)', 'CREATE TABLE packet_copy AS SELECT * FROM packet', 'DROP TABLE parked', 'ALTER TABLE payment ADD COLUMN x INT',
           'CREATE INDEX x ON payment (amount)', 'TRUNCATE outbox', 'RENAME TABLE parked TO parked2', 'CREATE VIEW v AS SELECT 1', 'CREATE DATABASE hb_mine',
           'CREATE TRIGGER t BEFORE INSERT ON payment FOR EACH ROW SET NEW.amount = 1', 'CREATE PROCEDURE p() SELECT 1', 'DROP DATABASE hongbao')
SERVER = ('SELECT * FROM mysql.global_priv', "SELECT LOAD_FILE('/etc/passwd') FROM DUAL WHERE LOAD_FILE('/etc/passwd') IS NOT NULL",
          "SELECT 1 INTO OUTFILE '/tmp/hb_outfile'", 'SET GLOBAL read_only = 0', 'SET GLOBAL general_log = 0', 'SET SESSION sql_log_bin = 0', 'STOP SLAVE',
          'SHUTDOWN', "CREATE USER hb_mine IDENTIFIED BY 'x'", 'GRANT SELECT ON hongbao.packet TO hb_query', "SET PASSWORD FOR hb_ctl = PASSWORD('x')",
          'FLUSH TABLES WITH READ LOCK', 'SHOW BINARY LOGS', 'SELECT * FROM mysql.general_log')
# What the two that hold the secrets of other people's money must not see, and the books that nobody may rewrite.
NEVER = {
    'hb_query': [(t, v) for t in TABLES for v in ('INSERT', 'UPDATE', 'DELETE')] + [(t, 'SELECT') for t in ('user_seed', 'idempotency', 'tracking', 'outbox',
                 'finance_event', 'parked', 'alert', 'recon_diff', 'refund', 'budget_lease', 'invited')],
    'hb_core': [(t, 'SELECT') for t in ('received', 'parked', 'alert', 'recon_run', 'recon_diff', 'outbox', 'heartbeat')] + [(t, v) for t in ('transfer', 'refund') for v in
                ('INSERT', 'UPDATE', 'DELETE')] + [('cell_epoch', 'UPDATE'), ('finance_event', 'UPDATE'), ('withdrawal', 'UPDATE'), ('claim', 'UPDATE')],
    'hb_worker': [(t, v) for t in ('user_seed', 'idempotency') for v in ASKS] + [('claim', 'INSERT'), ('claim', 'UPDATE'), ('packet', 'INSERT'),
                  ('payment', 'INSERT'), ('withdrawal', 'INSERT'), ('finance_event', 'INSERT'), ('cell_epoch', 'UPDATE')],
    'hb_rain': [(t, v) for t in ('packet', 'claim', 'payment', 'transfer', 'subsidy', 'user_seed', 'withdrawal') for v in ASKS],
    'hb_age': [(t, v) for t in ('packet', 'claim', 'ledger', 'account', 'user_seed') for v in ('INSERT', 'UPDATE', 'DELETE')] + [('ledger', 'SELECT'),
               ('account', 'SELECT'), ('user_seed', 'SELECT')],
}


def connect(stack, user, cell='A', database='hongbao'):
    member = stack.member(cell)
    return pymysql.connect(host=member['host'], port=member['mysql_port'], user=user, database=database, autocommit=True, read_timeout=10,
                           password=(stack.folder / f'secrets/db.{user}').read_text().strip())


def refused(cursor, sql):
    """The number of the error with which the server refuses it for want of a right; None when it does not."""
    try:
        cursor.execute(sql)
    except pymysql.MySQLError as e:
        return e.args[0] if e.args[0] in DENIED else None
    return None


@pytest.fixture(scope='module')
def columns(stack):
    rows = stack.rows('A', "SELECT table_name, MIN(column_name) FROM information_schema.columns WHERE table_schema = 'hongbao' GROUP BY table_name")
    assert {r[0] for r in rows} == set(TABLES), 'a table more: say above who may not use it'
    return dict(rows)


def ask(verb, table, columns):
    return ASKS[verb].format(table, columns[table], columns[table])


@pytest.mark.parametrize('user', USERS[:-1])
def test_a_program_may_do_what_is_granted_and_nothing_else(stack, columns, user):
    granted = {(r[0], r[1]) for r in stack.rows('A', "SELECT table_name, privilege_type FROM information_schema.table_privileges "
                                                     "WHERE table_schema = 'hongbao' AND grantee = %s", (f"'{user}'@'%'",))}
    assert granted and not {v for _, v in granted} - set(ASKS) - ({'ALTER', 'DROP'} if user == 'hb_age' else set())
    assert not granted & set(NEVER[user])
    with connect(stack, user) as db, db.cursor() as cursor:
        for table, verb in itertools.product(TABLES, ASKS):
            # An INSERT … SELECT and an UPDATE of a column read as well.
            may = {(table, verb), (table, 'SELECT')} <= granted
            assert (refused(cursor, ask(verb, table, columns)) is None) == may, (user, verb, table)


@pytest.mark.parametrize('user', USERS)
def test_no_program_changes_tables_or_the_server(stack, user):
    with connect(stack, user, database=None if user == 'hb_repl' else 'hongbao') as db, db.cursor() as cursor:
        if user != 'hb_repl':
            cursor.execute('SELECT COUNT(*) FROM cell_epoch' if user != 'hb_query' else 'SELECT COUNT(*) FROM heartbeat')  # it is let in, and its own is there
        for sql in CHANGES if user != 'hb_repl' else ():
            assert refused(cursor, sql), (user, sql)
        for sql in SERVER:
            if 'LOAD_FILE' in sql:
                cursor.execute(sql)
                assert cursor.fetchall() == (), 'the server read a file for it'
            elif user == 'hb_repl' and sql == 'SHOW BINARY LOGS':
                continue
            else:
                assert refused(cursor, sql), (user, sql)


def test_a_replica_has_the_same_rights(stack):
    """They come by replication, so a program that goes live elsewhere may do there what it may here."""
    ask = ("SELECT grantee, table_name, privilege_type FROM information_schema.table_privileges WHERE table_schema = 'hongbao' "
           'ORDER BY 1, 2, 3')
    for cell, row in stack.cells.items():
        here = stack.rows(cell, ask)
        for member in row['members']:
            with stack.db(cell, member['site']) as db, db.cursor() as cursor:
                cursor.execute(ask)
                assert cursor.fetchall() == here, (cell, member['site'])


def test_hbctl_neither_reads_files_of_the_server_nor_stops_it(stack):
    with connect(stack, 'hb_ctl') as db, db.cursor() as cursor:
        for sql in ("SELECT 1 INTO OUTFILE '/tmp/hb_outfile'", 'SHUTDOWN'):
            assert refused(cursor, sql), sql
