"""Slots, cells and what nginx does by itself."""
import json

import hb


def program(stack, cell, kind='core_ports'):
    return stack.member(cell)[kind][0]


def ask(stack, port, method, path, uid):
    out = hb.fastcgi(port, {'REQUEST_METHOD': method, 'REQUEST_URI': path, 'HTTP_AUTHORIZATION': f'Bearer {stack.mint(uid)}'})
    head, _, body = out.partition(b'\r\n\r\n')
    return head.decode(), json.loads(body)


def test_a_program_refuses_a_slot_of_another_cell(stack):
    before = stack.metric('hb_wrong_cell_total')
    for method, path, uid, kind in (('POST', '/v1/packets/100001501/claim', 1001, 'core_ports'), ('GET', '/v1/me/seed', 1501, 'core_ports'),
                                    ('GET', '/v1/packets/100001501', 1001, 'query_ports'), ('GET', '/v1/me/sent', 1501, 'query_ports')):
        head, body = ask(stack, program(stack, 'A', kind), method, path, uid)
        assert 'Status: 421' in head and body['code'] == 'WRONG_CELL' and body['retryable'] is True, (path, head, body)
    assert stack.metric('hb_wrong_cell_total') == before + 4


def test_the_own_slot_is_served_past_nginx(stack):
    head, body = ask(stack, program(stack, 'A'), 'GET', '/v1/me/seed', 1001)
    assert 'Status: 200' in head or 'Status' not in head
    assert len(body['seed_hash']) == 64


def test_users_of_short_and_long_uids_reach_their_cell(stack):
    for uid in (1, 42, 7, 499, 500, 999, 1000, 123456789012345499, 123456789012345500):
        answer = stack.http.call('GET', '/v1/me/sent', token=stack.mint(uid))
        assert answer.status == 200, (uid, answer)


def test_a_session_reaches_its_cell_however_it_is_written(stack):
    for uid in (1001, 1501):
        token = stack.mint(uid)
        for headers in ({'Authorization': f'bearer {token}'}, {'Authorization': f'BEARER   {token}'}, {'Cookie': f'hb_session={token}'},
                        {'Authorization': 'Basic dTpw', 'Cookie': f'hb_session={token}'}):
            for _ in range(6):  # a slot that is not found leads to either cell
                answer = stack.http.call('GET', '/v1/me/sent', headers=headers)
                assert answer.status == 200, (uid, headers, answer)


def test_operations_are_not_on_the_public_listener(stack):
    for path in ('/metrics', '/healthz', '/ops/v1/x'):
        assert stack.http.call('GET', path).status == 404, path
    assert stack.ops_http.call('GET', '/healthz').status == 200
    assert b'hb_claims_total' in stack.ops_http.call('GET', '/metrics').body


def test_a_dead_cell_answers_503_and_the_other_goes_on(stack):
    for service in ('B-core-1', 'B-core-2', 'B-query-1'):
        stack.sv('down', service)
    try:
        write = stack.claim(1001, '100001501')
        # Nothing was sent to anybody: it has not happened, and whoever repeats it may as well wait.
        assert (write.status, write.code) == (503, 'CELL_UNAVAILABLE') and 'retry-after' in write.headers, write
        read = stack.call('GET', '/v1/me/sent', 1501)
        assert (read.status, read.code) == (503, 'CELL_UNAVAILABLE') and 'retry-after' in read.headers, read
        for key in ('type', 'title', 'status', 'detail', 'code', 'retryable', 'user_message', 'request_id'):
            assert key in write.json, key
        assert write.json['request_id'] == write.headers['x-request-id']
        assert stack.call('GET', '/v1/me/sent', 1001).status == 200
    finally:
        for service in ('B-core-1', 'B-core-2', 'B-query-1'):
            stack.sv('up', service)
    member = stack.member('B')
    for port in member['core_ports'] + member['query_ports']:
        stack.wait(lambda port=port: hb.listens(port), f'{port} listens')
    # At once: nginx holds nothing against a program for what it was.
    assert stack.call('GET', '/v1/me/seed', 1501).status == 200
    assert stack.call('GET', '/v1/me/sent', 1501).status in (200, 503)  # 503 is its own word: the heartbeat may be old


def test_one_nginx_dead_the_other_serves(stack):
    first, second = (hb.Client(f'http://{door["host"]}:{door["front_port"]}') for door in stack.doors)
    packet = stack.open_packet(1001, 400, 4)
    stack.sv('down', 'nginx-east')
    try:
        try:
            first.call('GET', '/')
            raise AssertionError('the first still answers')
        except OSError:
            pass
        # Everything that our programs ask of nginx goes to the other one: finance, and the other cells.
        for uid in (1002, 1501):
            assert second.call('POST', f'/v1/packets/{packet}/claim', token=stack.mint(uid)).json['outcome'] == 'claimed'
        stack.wait(lambda: stack.rows('A', 'SELECT COUNT(*) FROM transfer t JOIN claim c ON c.claim_no = t.order_no WHERE c.packet_id = %s AND t.state = 2',
                                      (packet,)) == ((2,),), 'finance has transferred both')
    finally:
        stack.sv('up', 'nginx-east')
    stack.wait(lambda: hb.listens(stack.doors[0]['front_port']), 'the first is back')
