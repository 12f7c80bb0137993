"""What an outage next door must not do to a send, and what one program's stuck sessions must not do to the others."""
import os
import signal

import b2c
import pymysql
import pytest


def test_a_send_that_finance_does_not_answer_is_unknown_and_its_repeat_goes_on(stack):
    key = os.urandom(12).hex()
    before = stack.rows('A', 'SELECT COUNT(*) FROM packet')[0][0]
    stack.kill('finance-sim', signal.SIGSTOP)
    try:
        answer = stack.send(1001, 100, 2, key=key)
    finally:
        stack.kill('finance-sim', signal.SIGCONT)
    assert (answer.status, answer.code) == (503, 'OUTCOME_UNKNOWN') and answer.headers['retry-after'], answer
    again = stack.send(1001, 100, 2, key=key)
    assert again.status == 201 and again.headers['idempotent-replayed'] == 'true', again
    assert again.json['payment']['cashier_url']
    assert stack.rows('A', 'SELECT COUNT(*) FROM packet')[0][0] == before + 1


def test_credits_do_not_wait_behind_transfers_while_finance_hangs(stack):
    """Both come through one queue. Each transfer would hold a thread for finance.total_ms, four at once: 60 of them a minute."""
    c2c, claims = stack.open_packet(1001, 6000, 60), range(60)
    b2c_packet = b2c.packet(b2c.Campaign(stack), 1005, 1000, 2)
    users = [71000 + n for n in claims]
    stack.mint_all(users)
    before = stack.balance(1502)
    stack.kill('finance-sim', signal.SIGSTOP)
    try:
        for uid in users:
            assert stack.claim_until(uid, c2c).json['outcome'] == 'claimed'
        won = stack.claim_until(1502, b2c_packet).json['claim']['amount']['amount']
        stack.wait(lambda: stack.balance(1502) == before + won, 'it is in the wallet', 30)
        assert stack.rows('A', 'SELECT COUNT(*) FROM transfer WHERE packet_id = %s AND state <> 1', (c2c,)) == ((0,),)
    finally:
        stack.kill('finance-sim', signal.SIGCONT)
    stack.wait(lambda: stack.rows('A', 'SELECT COUNT(*) FROM transfer WHERE packet_id = %s AND state = 2', (c2c,)) == ((len(users),),),
               'every transfer is done', 120, 0.5)


def test_no_program_can_take_all_connections_of_the_database(stack):
    """Sessions that wait in COMMIT for a replica outlive their clients and pile up."""
    member = stack.member('A')
    taken = []

    def connect(user):
        password = (stack.folder / f'secrets/db.{user}').read_text().strip()
        taken.append(pymysql.connect(host='127.0.0.1', port=member['mysql_port'], user=user, password=password, database='hongbao'))

    try:
        with pytest.raises(pymysql.err.OperationalError):
            for _ in range(250):
                connect('hb_core')
        connect('hb_worker')
        connect('hb_query')
    finally:
        for connection in taken:
            connection.close()
