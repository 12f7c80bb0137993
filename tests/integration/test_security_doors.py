"""What strangers get at each door, and where secrets are: nothing that is not theirs, whatever they claim in path, header or body."""
import json
import os
import re
import socket
import stat
import time
from pathlib import Path

import pytest

import b2c
import hb
from test_wallet import give

ROUTES = re.findall(r'^ROUTE\((\w+),\s+"(\w+)",\s+"([^"]+)",\s+\w+,\s+\w+,\s+(\w+),', (hb.ROOT / 'lib/domain/routes.def').read_text(), re.M)
ME, OTHER = 20301, 20302
JSON = {'Content-Type': 'application/json'}
# Who has nothing to show, by what a route asks for.
STRANGER = {'USER': {(401, 'SESSION_INVALID')}, 'PARTNER': {(401, 'SIGNATURE_INVALID')}, 'FINANCE': {(401, 'SIGNATURE_INVALID')},
            'INTERNAL': {(404, 'NOT_FOUND'), (404, None)}, 'NONE': {(422, 'INVALID_FIELD')}}


def path_of(pattern):
    return pattern.replace('{number}', '10000001').replace('{campaign}', 'demo')


def ask(client, method, path, **headers):
    answer = client.call(method, path, raw=None if method == 'GET' else b'{}', headers={**({} if method == 'GET' else JSON), **headers})
    html = answer.headers.get('content-type', '').startswith('text/html')
    return answer.status, None if html else answer.code


def raw(url, text, wait=0.5):
    """Sends bytes as they are; all that comes back."""
    host, port = url.removeprefix('http://').split(':')
    with socket.create_connection((host, int(port)), timeout=5) as s:
        s.sendall(text)
        s.settimeout(wait)
        out = b''
        try:
            while part := s.recv(65536):
                out += part
        except TimeoutError:
            pass
    return out


def test_every_route_through_every_door(stack):
    assert len(ROUTES) > 20 and {r[3] for r in ROUTES} == set(STRANGER)
    for door in stack.doors:
        front, ops, internal = (hb.Client(f'http://{door["host"]}:{door[p]}') for p in ('front_port', 'ops_port', 'internal_port'))
        for name, method, pattern, auth in ROUTES:
            path = path_of(pattern)
            assert ask(front, method, path) in STRANGER[auth], (name, 'front')
            assert ask(ops, method, path)[0] == 404, (name, 'ops')
            inside = ask(internal, method, path)
            assert inside == (401, 'SIGNATURE_INVALID') if auth == 'INTERNAL' else inside[0] == 404, (name, 'internal')


@pytest.mark.parametrize('path', ['/metrics', '/metrics/', '//metrics', '/./metrics', '/v1/../metrics', '/v1/%2e%2e/metrics', '/healthz', '/ops', '/ops/v1/x', '/METRICS',
                                  '/ops/v1/status', '/ops/v1/flags', '/console', '/console/', '/console/index.html', '/console/console.js', '//console/index.html', '/js/../console/index.html',
                                  '/metrics?x=1', '/metrics%00', '/metrics;x', '/internal/v1/tracking/1001', '//internal/v1/tracking/1001', '/internal%2fv1/tracking/1001',
                                  '/v1/../internal/v1/tracking/1001', '/v1/%2e%2e/internal/v1/tracking/1001', '/v1/packets/../../internal/v1/tracking/1001',
                                  '/nginx_status', '/fastcgi', '/../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/js/..%2f..%2fREADME.md', '/js/../README.md', '/README.md',
                                  '/.git/config', '/js/.git', '/..;/metrics', '/%5c..%5c..%5cetc%5cpasswd'])
def test_the_front_door_serves_neither_operations_nor_files_of_others(stack, path):
    for method in ('GET', 'POST'):
        out = raw(stack.front, f'{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'.encode())
        status = int(out.split()[1])
        assert status in (400, 404, 405), out[:300]
        assert b'hb_' not in out and b'root:' not in out


def test_no_answer_sends_a_browser_elsewhere(stack):
    for path in ('//evil.example/', '//evil.example/%2e%2e', '/\\evil.example', '/js', '/%0d%0aLocation:%20http://evil.example/', '/?return=http://evil.example/'):
        head = raw(stack.front, f'GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n'.encode()).split(b'\r\n\r\n')[0]
        for line in head.split(b'\r\n'):
            if line.lower().startswith(b'location:'):
                assert re.fullmatch(rb'location: /(?![/\\])[\x21-\x7e]*', line.lower()), head


@pytest.mark.parametrize('headers', [{'X-User-Id': str(OTHER)}, {'X-Hb-Uid': str(OTHER)}, {'HB-SESSION': 'SESSION'}, {'HB_SESSION': 'SESSION'}, {'Hb-Ops': '1'},
                                     {'X-Forwarded-For': '127.0.0.1', 'X-Real-Ip': '127.0.0.1'}, {'X-Original-URL': '/v1/me/sent', 'X-Rewrite-URL': '/metrics'},
                                     {'X-Http-Method-Override': 'PUT'}, {'Remote-User': str(OTHER)}, {'Script-Filename': '/etc/passwd'}, {'Request-Uri': '/metrics'}],
                         ids=lambda h: '+'.join(h))
def test_no_header_makes_anybody_somebody_else(stack, headers):
    headers = {k: stack.mint(OTHER) if v == 'SESSION' else v for k, v in headers.items()}
    stranger = stack.http.call('GET', '/v1/me/sent', headers=headers)
    assert (stranger.status, stranger.code) == (401, 'SESSION_INVALID')
    seed = lambda uid, **more: stack.http.call('GET', '/v1/me/seed', token=stack.mint(uid), **more).json  # noqa: E731
    assert seed(ME, headers=headers) == seed(ME) != seed(OTHER)


@pytest.mark.parametrize('head', [b'Content-Length: 4\r\nTransfer-Encoding: chunked', b'Transfer-Encoding: chunked\r\nContent-Length: 4', b'Content-Length: 4\r\nContent-Length: 0',
                                  b'Transfer-Encoding: xchunked', b'Transfer-Encoding : chunked', b'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
                                  b'Content-Length: +4', b'Content-Length: 4, 4', b'Content-Length : 4', b'Transfer-Encoding: identity, chunked'], ids=lambda h: h.decode().replace('\r\n', ' | '))
def test_a_request_within_a_request_is_not_served(stack, head):
    """nginx and a program could only differ about a length; between them the body goes in records with lengths of their own."""
    inner = b'GET /v1/me/seed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ' + stack.mint(ME).encode() + b'\r\n\r\n'
    out = raw(stack.front, b'POST /v1/demo/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' + head + b'\r\n\r\n0\r\n\r\n' + inner)
    assert b'seed_hash' not in out and out.count(b'HTTP/1.1 ') <= 1, out


def test_another_s_packets_orders_and_lists_are_not_shown(stack):
    made = stack.send(ME, 500, 5).json
    unpaid, order = made['packet']['id'], made['payment']['order_no']
    packet = stack.open_packet(ME, 500, 5)
    for path in (f'/v1/payments/{order}', *(f'/v1/packets/{number}/{part}' for number in (unpaid, packet) for part in ('claims', 'fairness'))):
        assert stack.call('GET', path, ME).status == 200, path
        assert stack.call('GET', path, OTHER).status == 403, path
    assert stack.call('PUT', f'/v1/packets/{packet}/video', OTHER, {'video_id': 'v1'}).status == 403
    give(b2c.Campaign(stack), ME, 500)
    out = stack.withdraw(ME, 200).json['order_no']
    assert [stack.call('GET', f'/v1/me/withdrawals/{out}', uid).status for uid in (ME, OTHER)] == [200, 403]
    mine = stack.call('GET', '/v1/me/sent?limit=1', ME).json
    assert stack.call('GET', f'/v1/me/sent?cursor={mine["next_cursor"]}', ME).status == 200
    foreign = stack.call('GET', f'/v1/me/sent?cursor={mine["next_cursor"]}', OTHER)
    assert (foreign.status, foreign.code) == (400, 'CURSOR_INVALID')
    assert packet not in [p['id'] for p in stack.call('GET', '/v1/me/sent', OTHER).json['data']]


def test_what_strangers_write_stays_one_line_of_the_log(stack):
    mark = os.urandom(6).hex()
    log = stack.folder / f'log/nginx-{stack.doors[0]["site"]}/access.json'
    began = log.stat().st_size
    evil = f'/v1/packets/{mark}%0a%22%7d%0d%0a{{"event":"forged"}}'
    for headers in (b'X-Request-Id: x"}\r\n', b'Traceparent: 00-"}\x01forged\r\n', b'User-Agent: "}\x7f\r\n', b'Accept-Language: "\\\r\n'):
        raw(stack.front, f'GET {evil} HTTP/1.1\r\nHost: x\r\n'.encode() + headers + b'Connection: close\r\n\r\n')
    made = stack.send(ME, 500, 5, greeting='a "}\n{"event":"forged"} \u2028 <script>')
    assert made.status in (201, 422), made

    def lines():
        with log.open('rb') as f:
            f.seek(began)
            return [line for line in f.read().split(b'\n') if line]
    stack.wait(lambda: sum(mark.encode() in line for line in lines()) >= 4, 'nginx has written its log')
    for line in lines():
        row = json.loads(line)
        assert re.fullmatch('[0-9a-f]{32}', row['request_id']) and row['event'] == 'http.request'
    for path in stack.folder.glob('log/[AB]-core-*/current'):
        for line in path.read_bytes()[-200000:].split(b'\n')[1:]:
            assert not line.startswith(b'{"event":"forged"'), path


def secrets(stack):
    """Each secret's text, and the file that it may stand in."""
    out = {}
    for path in (stack.folder / 'secrets').iterdir():
        for line in path.read_text().splitlines():
            word = line.split()[1] if path.suffix == '.keys' else line
            out[word.encode()] = path
    return out


def test_secrets_are_in_files_of_mode_0400_in_a_folder_of_ours_alone(stack):
    folder = stack.folder / 'secrets'
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert path.name.startswith('.') or stat.S_IMODE(path.stat().st_mode) == 0o400, path
    assert len(secrets(stack)) > 10


def ours(stack):
    mark = f'HB_SUPERVISED={stack.folder}'.encode()
    for proc in Path('/proc').glob('[0-9]*'):
        try:
            if mark in (proc / 'environ').read_bytes().split(b'\0'):
                yield proc, (proc / 'cmdline').read_bytes()
        except OSError:
            pass


def test_secrets_are_in_no_command_line_environment_or_log(stack):
    known = secrets(stack)
    seen = 0
    for proc, command in ours(stack):
        seen += 1
        text = command + (proc / 'environ').read_bytes()
        assert not [str(f) for s, f in known.items() if s in text], command
    assert seen > 50
    for path in [p for p in (stack.folder / 'log').rglob('*') if p.is_file()] + list((stack.folder / 'metrics').iterdir()):
        text = path.read_bytes()
        assert not [str(f) for s, f in known.items() if s in text], path
    for path in (stack.folder / 'etc').iterdir():  # two of the servers' own files need one; nobody else reads them
        if any(s in path.read_bytes() for s in known):
            assert stat.S_IMODE(path.stat().st_mode) == 0o400, path


def test_no_program_leaves_a_core_file(stack):
    programs = [proc for proc, command in ours(stack) if re.match(rb'(\S*/)?hb-(core|query|rain|worker|finance-sim)\0', command)]
    assert len(programs) > 50
    for proc in programs:
        limit = re.search(r'^Max core file size +(\d+|unlimited) +(\d+|unlimited)', (proc / 'limits').read_text(), re.M)
        assert limit and {limit[1], limit[2]} <= {'0', '1'}, (proc, limit)


def test_a_program_refuses_a_secret_that_others_may_read(stack):
    """The standby at the third site, which nobody misses, with the file as an operator's mistake leaves it."""
    path = stack.folder / 'secrets/session.keys'
    service = 'A-query-1-north'
    log = stack.folder / f'log/{service}/current'
    before = len(log.read_text())

    def refusals():
        return [line for line in log.read_text()[before:].splitlines() if 'the mode is wider than 0400' in line and str(path) in line]

    try:
        path.chmod(0o440)
        stack.kill(service)
        stack.wait(refusals, 'the program says why it does not start, and of which file')
    finally:
        path.chmod(0o400)
    stack.wait(lambda: hb.listens(stack.member('A', 'north')['query_ports'][0]), 'it starts again')


def test_pages_carry_what_keeps_scripts_of_others_out(stack):
    page = stack.http.call('GET', '/')
    policy = page.headers['content-security-policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert page.headers['x-content-type-options'] == 'nosniff' and page.headers['referrer-policy'] == 'no-referrer'
    login = stack.http.call('POST', '/v1/demo/login', {'uid': str(ME)})
    cookie = login.headers['set-cookie']
    assert 'HttpOnly' in cookie and 'SameSite=Lax' in cookie
    assert login.headers['content-type'].startswith('application/json') and login.headers['x-content-type-options'] == 'nosniff'
