#!/usr/bin/python3
"""Writes tests/fuzz/corpus/TARGET/*.seed: what the targets start from, in the layouts that their sources tell.

One case a line here, so that a new route, event or option gets its seed by adding a line."""
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DAY = 1795305600000


def write(target, name, data):
    folder = HERE / 'corpus' / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{name}.seed').write_bytes(data if isinstance(data, bytes) else data.encode())


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode()


def tokens():
    numbers = struct.pack('>6Q', 1001, 9223372036854701001, 1234567801001, 7, 520, DAY)
    strangers = [b'hbs1.AAAA', b'hb1.1001.1795305600.k1.' + b'A' * 43,
                 b'hbg1.1001.1002.friend.1795305600.k1.' + b'A' * 43,
                 b'v1 partner-1 1795305600 req-1 k1 ' + b'A' * 43]
    for kind, stranger in enumerate(strangers):
        word = b'7.1.0.1001'
        write('tokens', f'{kind}', bytes([kind, 0, 9, 200]) + numbers + bytes([len(word)]) + word + stranger)


def cursors():
    head = struct.pack('>4Q', 1001, 1000000101007, DAY, 42) + bytes([9, 0, 17])
    for i, query in enumerate(['', 'limit=20', 'limit=100&cursor=' + 'A' * 43, 'cursor=%41bc', 'limit=5&limit=6', 'a=+&b']):
        write('cursors', f'{i}', head + query.encode())


def callbacks():
    money = {'amount': 520, 'currency': 'CNY'}
    event = {'order_no': '1000000101007', 'kind': 'payment', 'outcome': 'done', 'amount': money, 'at': '2026-11-22T08:13:18.042Z'}
    answer = {**event, 'cashier_url': 'http://127.0.0.1/cashier/1', 'reason': ''}
    number = struct.pack('>Q', 1000000101007)
    for i, kind in enumerate(['payment', 'transfer', 'refund', 'withdrawal']):
        write('callbacks', f'event-{kind}', bytes([0, i, 0]) + number + text({**event, 'kind': kind}))
        write('callbacks', f'answer-{kind}', bytes([1, i, 0]) + number + text({**answer, 'kind': kind, 'outcome': 'refused', 'reason': 'PAYEE_CLOSED'}))
    write('callbacks', 'pending', bytes([1, 0, 1]) + number + text({**answer, 'outcome': 'pending'}))
    write('callbacks', 'not-known', bytes([1, 0, 2]) + number + text({'code': 'ORDER_NOT_KNOWN'}))
    write('callbacks', 'conflict', bytes([1, 0, 3]) + number + text({'code': 'ORDER_CONFLICT'}))


def amqp_table(fields):
    """A table of AMQP 0-9-1, of integers, strings, tables and lists of them."""
    def value(v):
        if isinstance(v, int):
            return b'l' + struct.pack('>q', v)
        if isinstance(v, str):
            return b'S' + struct.pack('>I', len(v)) + v.encode()
        if isinstance(v, dict):
            return b'F' + amqp_table(v)
        inner = b''.join(value(x) for x in v)
        return b'A' + struct.pack('>I', len(inner)) + inner
    body = b''.join(bytes([len(k)]) + k.encode() + value(v) for k, v in fields.items())
    return struct.pack('>I', len(body)) + body


def messages():
    claim = {'no': 1000000201007, 'p': 1000000101007, 'u': 1002, 'a': 188, 's': 1001, 'k': 1, 't': DAY}
    win = {'no': 9223372036854701001, 'u': 1001, 'a': 520, 'o': '7.1.0.1001', 'c': 7, 'x': DAY, 'l': 1234567801001}
    issue = {'i': 'shop', 'o': 'order-1', 'u': 1001, 'a': 520, 'c': 'demo', 'x': DAY}
    number = {'no': 1000000101007}
    events = {1: [claim, {**claim, 'no': 2, 'u': 3}], 2: [number], 3: [{**number, 'e': 'ev-1'}], 4: [win], 5: [{**number, 'u': 1, 'a': 2}],
              6: [number], 7: [number], 8: [{**number, 'k': 1, 'd': 2, 'n': 1}], 9: [issue]}
    for kind, array in events.items():
        write('messages', f'{kind}', bytes([kind]) + text(array))
    step = {'issuer': 'shop', 'out_order_no': 'order-1', 'uid': 1001, 'amount': 520, 'campaign': 'demo', 'expires_at': DAY,
            'subsidy_id': 100001, 'state': 1, 'made': True}
    write('messages', 'step', b'\x0a' + text(step))
    death = {'x-death': [{'queue': 'A.transfer', 'reason': 'delivery_limit', 'count': 1}], 'x-delivery-count': 3, 'traceparent': '00'}
    write('messages', 'headers', b'\x0b' + amqp_table(death))


def config():
    head = struct.pack('>IQ', 3, DAY)
    local = ROOT / 'units' / 'local'
    topology = (local / 'topology.cfg.in').read_text()
    for i, (name, body) in enumerate([
            ('conf', 'packet = { max_fen = 100000L; max_count = 50; };\ndemo = { login = true; };\nlog = { level = "warn"; };\n'),
            ('topology', TOPOLOGY), ('flags', FLAGS), ('campaigns', (local / 'campaigns.cfg').read_text()), ('column', COLUMN),
            ('keys', 'k2 ' + 'ab' * 32 + ' campaign:demo\nk1 ' + '00' * 32 + '\n')]):
        write('config', name, bytes([i]) + head + body.encode())
    write('config', 'topology-local', bytes([1]) + head + topology.encode())


TOPOLOGY = '''sites = ( { name = "east"; }, { name = "west"; fence = "ssh west"; run = "ssh west"; } );
mq = ( { host = "127.0.0.1"; port = 5672; } );
etcd = "http://127.0.0.1:2379";
nginx = ( { site = "east"; host = "127.0.0.1"; front_port = 80; ops_port = 81; internal_port = 82; finance_port = 83; } );
finance = { host = "127.0.0.1"; fcgi_port = 84; };
cells = ( { name = "A"; number = 1; slots = "0-249,250,251-999"; active = "east"; members = (
 { site = "east"; host = "127.0.0.1"; mysql_port = 90; mysql_extra_port = 91; memcached_port = 92;
   core_ports = [ 93, 94 ]; query_ports = [ 95 ]; rain_ports = [ 96 ]; },
 { site = "west"; host = "127.0.0.1"; mysql_port = 97; } ); } );
'''
FLAGS = '''# by hand
c2c_send = { state = "off"; percent = 30; cells = [ "A" ]; reason = "fin\\"ance"; owner = "me"; ticket = "T-1";
  set_at = "2026-11-22T00:00:00Z"; expires_at = "2027-11-22T00:00:00Z"; };
rain = { state = "off"; interfaces = [ "rain_draw" ]; reason = "x"; }; // and so on
/* { */ transfer_async = { state = "on"; reason = ""; };
complete = true;
'''
COLUMN = text({'key': 'k1', 'starts_at_ms': 0, 'ends_at_ms': 0, 'every_ms': 60000, 'lasts_ms': 30000, 'expiry_ms': 60000, 'lease_fen': 1000,
               'limit': 3, 'prizes': [{'amount_fen': 5, 'ppm': 1000}, {'amount_fen': 1, 'ppm': 999000}]}).decode()


def statements():
    head = 'order_no,kind,uid,amount_fen,payment_no,at\n'
    lines = ['1000000101007,payment,1001,520,0,2026-11-22T00:00:01.000Z\n', '1000000201007,transfer,1002,188,0,2026-11-22T00:00:02Z\n',
             '1000000301007,refund,1001,332,1000000101007,2026-11-22T23:59:59.999Z\n', '4,withdrawal,1002,188,0,2026-11-22T10:00:00+08:00\n']
    write('statements', 'parts', head + lines[0] + lines[1] + '#next,5\n\0' + head + lines[2] + '#next,9\n\0' + lines[3] + '#end\n')
    write('statements', 'whole', head + ''.join(lines) + '#end\n')
    write('statements', 'empty', head + '#end\n')
    write('statements', 'broken', head + lines[0] + 'no line\n#end\n')


SIGNED = [('HTTP_X_HB_SIGNATURE', '@shop')]
LOGGED_IN = [('HTTP_AUTHORIZATION', '@1007'), ('HTTP_IDEMPOTENCY_KEY', 'key-12345')]
COOKIE = [('HB_SESSION', '@1007'), ('HTTP_ORIGIN', 'http://127.0.0.1:8080'), ('HTTP_X_HB_CSRF', '1'), ('HTTP_IDEMPOTENCY_KEY', 'key-12345')]


def request(name, method, uri, params, body=None):
    rows = [('REQUEST_METHOD', method), ('REQUEST_URI', uri)] + params
    if body is not None:
        rows += [('CONTENT_TYPE', 'application/json; charset=utf-8'), ('CONTENT_LENGTH', '@')]
    write('requests', name, ''.join(f'{k}={v}\n' for k, v in rows).encode() + b'\n' + (text(body) if body is not None else b''))


def requests():
    money = {'amount': 1000, 'currency': 'CNY'}
    c2c = {'kind': 'c2c', 'split': 'lucky', 'total': money, 'count': 10}
    packet = '1000000101007'
    request('login', 'POST', '/v1/demo/login', [('HTTP_ACCEPT_LANGUAGE', 'zh-CN,zh;q=0.9,en;q=0.8')], {'uid': '1001'})
    request('seed', 'GET', '/v1/me/seed', LOGGED_IN)
    request('c2c', 'POST', '/v1/packets', LOGGED_IN, {**c2c, 'greeting': '恭喜发财', 'video_id': 'v-1', 'client_nonce': 'n', 'seed_id': '5'})
    request('c2c-invited', 'POST', '/v1/packets', COOKIE, {**c2c, 'split': 'equal', 'scope': 'invited', 'invited': ['1', '2', '3']})
    request('b2c', 'POST', '/v1/packets', LOGGED_IN, {'kind': 'b2c', 'split': 'equal', 'count': 3, 'subsidy_id': '100007'})
    request('b2c-token', 'POST', '/v1/packets', LOGGED_IN, {'kind': 'b2c', 'split': 'equal', 'count': 3, 'subsidy_token': 'hbs1.AAAA'})
    request('video', 'PUT', f'/v1/packets/{packet}/video', LOGGED_IN, {'video_id': 'v-1'})
    request('claim', 'POST', f'/v1/packets/{packet}/claim', LOGGED_IN + [('HTTP_TRACEPARENT', '00-' + 'a' * 32 + '-' + 'b' * 16 + '-01')])
    request('claim-grant', 'POST', f'/v1/packets/{packet}/claim', LOGGED_IN, {'relation_grant': 'hbg1.1.2.friend.9.k1.' + 'A' * 43})
    request('withdraw', 'POST', '/v1/me/withdrawals', LOGGED_IN, {'amount': money})
    request('withdrawals', 'GET', '/v1/me/withdrawals?limit=5&cursor=' + 'A' * 43, LOGGED_IN)
    event = {'order_no': packet, 'kind': 'payment', 'outcome': 'done', 'amount': money, 'at': '2026-11-22T08:13:18Z'}
    request('callback', 'POST', f'/v1/callbacks/finance/{packet}', [('HTTP_X_FINANCE_SIGNATURE', '@hongbao')], event)
    partner = {'out_order_no': 'order-1', 'uid': '1007', 'amount': money, 'campaign': 'demo', 'expires_at': '2026-12-22T08:13:18Z'}
    request('partner', 'POST', '/v1/partner/subsidies', SIGNED, partner)
    step = {'issuer': 'shop', 'out_order_no': 'order-1', 'uid': 1007, 'amount': 520, 'campaign': 'demo', 'expires_at': DAY, 'subsidy_id': 100007,
            'state': 1, 'made': False}
    internal = [('HTTP_X_HB_SIGNATURE', '@internal')]
    request('tracking', 'POST', '/internal/v1/tracking/1007', internal, step)
    request('grant', 'POST', '/internal/v1/subsidies/100007', internal, step)
    request('rains', 'GET', '/v1/rain', LOGGED_IN)
    request('rain', 'GET', '/v1/rain/demo', LOGGED_IN)
    request('draw', 'POST', '/v1/rain/demo/draw', COOKIE)
    request('draw-again', 'POST', '/v1/rain/demo/draw', LOGGED_IN, {'round': 1, 'draw': 0})
    request('draw-far', 'POST', '/v1/rain/demo/draw', LOGGED_IN, {'round': 584942419, 'draw': 0})  # in 64 bits its start is in 2026
    request('other-method', 'DELETE', '/v1/packets', [('HTTP_X_REQUEST_ID', 'abcdef-123456'), ('HB_OPS', '1'), ('REMOTE_ADDR', '127.0.0.1')])


for make in (tokens, cursors, callbacks, messages, config, statements, requests):
    make()
