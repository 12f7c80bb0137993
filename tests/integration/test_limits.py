"""What one address, one user, one partner and one slow interface may take, and what that leaves to everybody else; and clients that are slow.

Addresses are 127.0.5.x, so that nothing here counts for the tests after it."""
import http.client
import os
import resource
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import b2c
import hb
from conftest import nginx_workers
from test_subsidies import order

WIDE = 'limits: { user_percent = 1000; };'
TIGHT = 'limits: { address_percent = 1; address_users = 20; user_percent = 1; gateways = "127.0.5.9"; };'
IDLE, DRIPPING = 2000, 200


def reload(stack):
    old = nginx_workers(stack)
    subprocess.run([hb.ROOT / 'dev', 'hbctl', 'nginx', 'reload'], check=True, capture_output=True, env={**os.environ, 'HB_NAME': stack.folder.name})
    stack.wait(lambda: nginx_workers(stack) and not nginx_workers(stack) & old, 'nginx has its new configuration, and nobody the old one')


def use(stack, text, programs):
    (stack.folder / 'etc/hongbao.cfg').write_text(text)
    for cell in stack.cells if programs else ():
        for instance, port in enumerate(stack.member(cell)['core_ports'], 1):
            stack.sv('restart', f'{cell}-core-{instance}')
            stack.wait(lambda port=port: hb.listens(port), f'hb-core {instance} of cell {cell} listens')
    reload(stack)


@pytest.fixture(scope='module')
def tight(stack):
    """A hundredth of an address's share and of a user's."""
    before = (stack.folder / 'etc/hongbao.cfg').read_text()
    assert WIDE in before
    try:
        use(stack, before.replace(WIDE, TIGHT), programs=True)
        yield
    finally:
        use(stack, before, programs=True)


def asked(stack, path, times, address, method='GET', token=None):
    """The answers to as many requests from an address, one after the other on one connection."""
    door, answers = stack.doors[0], []
    connection = http.client.HTTPConnection(door['host'], door['front_port'], timeout=30 * hb.SLOW, source_address=(address, 0))
    for _ in range(times):
        connection.request(method, path, headers={'Authorization': f'Bearer {token}'} if token else {})
        got = connection.getresponse()
        answers.append(hb.Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read()))
    connection.close()
    return answers


def check_refused(answer):
    assert (answer.status, answer.code) == (429, 'RATE_LIMITED'), answer
    assert answer.headers['content-type'] == 'application/problem+json' and answer.headers['x-request-id'] == answer.json['request_id']
    assert int(answer.headers['retry-after']) >= 1 and answer.json['retry_after_ms'] > 0 and answer.json['retryable'] is True
    assert answer.json['user_message']


def test_an_address_has_its_share_of_an_interface_and_others_theirs(stack, tight):
    answers = asked(stack, '/v1/me/seed', 200, '127.0.5.1')
    refused = [a for a in answers if a.status == 429]
    assert answers[0].status == 401 and 20 <= len(answers) - len(refused) < 150, [a.status for a in answers]
    check_refused(refused[0])
    assert asked(stack, '/v1/me/seed', 1, '127.0.5.2')[0].status == 401, 'another address'
    assert asked(stack, '/v1/rain', 1, '127.0.5.1')[0].status == 401, 'another interface'
    assert {a.status for a in asked(stack, '/v1/me/seed', 200, '127.0.5.9')} == {401}, 'a gateway speaks for many'


def test_callbacks_have_their_share_too(stack, tight):
    answers = asked(stack, f'/v1/callbacks/finance/{10**12 + 1001}', 400, '127.0.5.3', 'POST')
    check_refused(next(a for a in answers if a.status == 429))
    assert answers[0].status != 429


def test_a_user_has_a_share_wherever_they_come_from(stack, tight):
    before = stack.metric('hb_rate_limited_total', limit='user')
    token = stack.mint(88001)
    answers = [a for n in (4, 5) for a in asked(stack, '/v1/me/seed', 15, f'127.0.5.{n}', token=token)]
    refused = [a for a in answers if a.status == 429]
    assert 1 <= len(answers) - len(refused) < 20 and {a.status for a in answers} == {200, 429}, [a.status for a in answers]
    check_refused(refused[0])
    assert asked(stack, '/v1/me/seed', 1, '127.0.5.4', token=stack.mint(88003))[0].status == 200, 'another user'
    assert stack.metric('hb_rate_limited_total', limit='user') >= before + len(refused)
    time.sleep(refused[-1].json['retry_after_ms'] / 1000 + 0.2)
    assert asked(stack, '/v1/me/seed', 1, '127.0.5.4', token=token)[0].status == 200, 'they come again when they were told to'


def test_a_partner_has_a_share(stack, tight):
    """A hundredth of 500 a second and of 1,000 at once, at each hb-core; bad orders, so that nothing is issued."""
    bad = {**order('limits-1', 88005), 'amount': {'amount': 0, 'currency': 'CNY'}}
    ours = hb.Stack(stack.folder)
    ours.http = hb.Client(stack.front, '127.0.5.9')
    before = stack.metric('hb_rate_limited_total', limit='user')
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: b2c.partner(ours, bad), range(250)))
    statuses = {a.status for a in answers}
    assert statuses == {422, 429}, statuses
    check_refused(next(a for a in answers if a.status == 429))
    assert stack.metric('hb_rate_limited_total', limit='user') > before


def test_an_interface_that_is_slow_takes_its_places_and_no_more(stack):
    """Wallets wait for a locked table; covers and claims of the same cell, and of the same programs, do not."""
    packet = stack.open_packet(1011, 6000, 60)
    users = [88100 + n for n in range(60)]
    stack.mint_all(users)
    waiting = []
    with stack.db('A') as db, db.cursor() as cursor, ThreadPoolExecutor(60) as pool:
        cursor.execute('LOCK TABLES account WRITE')
        try:
            waiting = [pool.submit(stack.call, 'GET', '/v1/me/wallet', uid) for uid in users]
            time.sleep(0.3)  # they are there, and wait
            slowest = 0
            for uid in users[:20]:
                began = time.monotonic()
                cover = stack.call('GET', f'/v1/packets/{packet}', uid)
                claim = stack.claim(uid, packet)
                slowest = max(slowest, time.monotonic() - began)
                assert (cover.status, claim.status) == (200, 200), (cover, claim)
            assert not any(w.done() and w.result().status == 200 for w in waiting), 'wallets were not slow'
        finally:
            cursor.execute('UNLOCK TABLES')
        assert {w.result().status for w in waiting} <= {200, 429}, [w.result() for w in waiting]
    assert slowest < 1.5 * hb.SLOW, f'{slowest:.2f} s for a cover and a claim'
    assert stack.call('GET', '/v1/me/wallet', users[0]).status == 200


def test_slow_clients_and_idle_ones_keep_nobody_out(stack):
    packet = stack.open_packet(1012, 6000, 60)
    users = [88200 + n for n in range(30)]
    stack.mint_all(users)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 2 * DRIPPING + soft), hard))
    door, sockets = stack.doors[0], []

    def connect(text, read=False):
        s = socket.create_connection((door['host'], door['front_port']), timeout=20 * hb.SLOW, source_address=('127.0.5.6', 0))
        sockets.append(s)
        s.sendall(text)
        if read:
            assert s.recv(4096).startswith(b'HTTP/1.1 200')
        return s
    try:
        for _ in range(IDLE):
            connect(b'HEAD / HTTP/1.1\r\nHost: hb\r\n\r\n', read=True)
        half = [connect(b'GET /v1/me/seed HTTP/1.1\r\nHost: h') for _ in range(DRIPPING)]
        bodies = [connect(b'POST /v1/packets HTTP/1.1\r\nHost: hb\r\nContent-Length: 500\r\n\r\n{') for _ in range(DRIPPING)]
        for s in bodies[::2]:
            s.shutdown(socket.SHUT_WR)  # half-open
        slowest = 0
        for n, uid in enumerate(users):
            for s in half[n::len(users)] + bodies[1::2][n::len(users)]:
                s.sendall(b'x')
            began = time.monotonic()
            assert stack.claim(uid, packet).json['outcome'] == 'claimed'
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1 * hb.SLOW, f'a claim took {slowest:.2f} s'
    finally:
        for s in sockets:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
