"""Bad input, one row a request: each gets its exact status and code, and leaves no trace."""
import json
import socket
import time

import pytest

GOOD = {'kind': 'c2c', 'split': 'lucky', 'total': {'amount': 1000, 'currency': 'CNY'}, 'count': 10}
ME, OTHER = 1301, 1302
KEY = {'Idempotency-Key': 'bad-input-row-0001'}
JSON = {'Content-Type': 'application/json'}


def good(**changes):
    body = {**GOOD, **changes}
    return json.dumps({k: v for k, v in body.items() if v is not ...}).encode()


def money(amount, currency='CNY', **more):
    return {'amount': amount, 'currency': currency, **more}


# what the row shows, body of POST /v1/packets, status, code
SEND = [
    ('empty body', b'', 400, 'INVALID_JSON'),
    ('not JSON', b'hello', 400, 'INVALID_JSON'),
    ('cut JSON', b'{"kind": "c2c"', 400, 'INVALID_JSON'),
    ('trailing junk', good() + b' x', 400, 'INVALID_JSON'),
    ('two values', good() + good(), 400, 'INVALID_JSON'),
    ('an array', b'[]', 400, 'INVALID_JSON'),
    ('a string', b'"c2c"', 400, 'INVALID_JSON'),
    ('null', b'null', 400, 'INVALID_JSON'),
    ('a number', b'1', 400, 'INVALID_JSON'),
    ('a duplicate field', good()[:-1] + b', "count": 10}', 400, 'INVALID_JSON'),
    ('a duplicate in money', b'{"kind":"c2c","split":"lucky","total":{"amount":1000,"amount":1000,"currency":"CNY"},"count":10}', 400, 'INVALID_JSON'),
    ('bad UTF-8', good(greeting='x').replace(b'"x"', b'"\xff\xfe"'), 400, 'INVALID_JSON'),
    ('an overlong UTF-8 slash', good(greeting='x').replace(b'"x"', b'"\xc0\xaf"'), 400, 'INVALID_JSON'),
    ('a lone surrogate', good(greeting='x').replace(b'"x"', b'"\\ud800"'), 400, 'INVALID_JSON'),
    ('UTF-16', good().decode().encode('utf-16'), 400, 'INVALID_JSON'),
    ('deep nesting', b'[' * 4000 + b']' * 4000, 400, 'INVALID_JSON'),
    ('a number beyond int64', good().replace(b'1000', b'9223372036854775808'), 400, 'INVALID_JSON'),
    ('NaN', good().replace(b'1000', b'NaN'), 400, 'INVALID_JSON'),
    ('an empty object', b'{}', 422, 'INVALID_FIELD'),
    ('kind missing', good(kind=...), 422, 'INVALID_FIELD'),
    ('kind null', good(kind=None), 422, 'INVALID_FIELD'),
    ('kind unknown', good(kind='x2x'), 422, 'INVALID_FIELD'),
    ('kind in capitals', good(kind='C2C'), 422, 'INVALID_FIELD'),
    ('split missing', good(split=...), 422, 'INVALID_FIELD'),
    ('split unknown', good(split='fair'), 422, 'INVALID_FIELD'),
    ('split a number', good(split=1), 422, 'INVALID_FIELD'),
    ('total missing', good(total=...), 422, 'INVALID_FIELD'),
    ('total a number', good(total=1000), 422, 'INVALID_FIELD'),
    ('total a string', good(total='10.00'), 422, 'INVALID_FIELD'),
    ('amount a string', good(total=money('1000')), 422, 'INVALID_FIELD'),
    ('amount a fraction', good(total=money(10.5)), 422, 'INVALID_FIELD'),
    ('amount with exponent', good().replace(b'1000', b'1e3'), 422, 'INVALID_FIELD'),
    ('amount true', good(total=money(True)), 422, 'INVALID_FIELD'),
    ('amount null', good(total=money(None)), 422, 'INVALID_FIELD'),
    ('amount missing', good(total={'currency': 'CNY'}), 422, 'INVALID_FIELD'),
    ('currency missing', good(total={'amount': 1000}), 422, 'INVALID_FIELD'),
    ('currency other', good(total=money(1000, 'USD')), 422, 'INVALID_FIELD'),
    ('an unknown field in money', good(total=money(1000, cents=1)), 422, 'INVALID_FIELD'),
    ('amount negative', good(total=money(-1000)), 422, 'AMOUNT_OUT_OF_RANGE'),
    ('amount zero', good(total=money(0)), 422, 'AMOUNT_OUT_OF_RANGE'),
    ('amount above the limit', good(total=money(2000001)), 422, 'AMOUNT_OUT_OF_RANGE'),
    ('amount huge', good(total=money(2**53)), 422, 'AMOUNT_OUT_OF_RANGE'),
    ('amount the largest int64', good(total=money(2**63 - 1)), 422, 'AMOUNT_OUT_OF_RANGE'),
    ('less than a fen a share', good(total=money(9)), 422, 'SHARE_TOO_SMALL'),
    ('count missing', good(count=...), 422, 'INVALID_FIELD'),
    ('count zero', good(count=0), 422, 'INVALID_FIELD'),
    ('count negative', good(count=-1), 422, 'INVALID_FIELD'),
    ('count a fraction', good(count=1.5), 422, 'INVALID_FIELD'),
    ('count a string', good(count='10'), 422, 'INVALID_FIELD'),
    ('count above the limit', good(count=2001, total=money(200000)), 422, 'INVALID_FIELD'),
    ('count true', good(count=True), 422, 'INVALID_FIELD'),
    ('greeting too long', good(greeting='福' * 51), 422, 'INVALID_FIELD'),
    ('greeting a number', good(greeting=8), 422, 'INVALID_FIELD'),
    ('greeting with a control character', good(greeting='a\u0007b'), 422, 'INVALID_FIELD'),
    ('greeting with a NUL', good(greeting='a\u0000b'), 400, 'INVALID_JSON'),
    ('video_id empty', good(video_id=''), 422, 'INVALID_FIELD'),
    ('video_id with a slash', good(video_id='a/b'), 422, 'INVALID_FIELD'),
    ('video_id too long', good(video_id='v' * 65), 422, 'INVALID_FIELD'),
    ('scope unknown', good(scope='all'), 422, 'INVALID_FIELD'),
    ('scope null', good(scope=None), 422, 'INVALID_FIELD'),
    ('invited without the list', good(scope='invited'), 422, 'INVALID_FIELD'),
    ('a list without invited', good(invited=['1002']), 422, 'INVALID_FIELD'),
    ('an empty list', good(scope='invited', invited=[]), 422, 'INVALID_FIELD'),
    ('a list of 201', good(scope='invited', invited=[str(i) for i in range(1, 202)]), 422, 'INVALID_FIELD'),
    ('the same guest twice', good(scope='invited', invited=['1002', '1002']), 422, 'INVALID_FIELD'),
    ('a guest as a number', good(scope='invited', invited=[1002]), 422, 'INVALID_FIELD'),
    ('a guest with a leading zero', good(scope='invited', invited=['01002']), 422, 'INVALID_FIELD'),
    ('seed_id of nobody', good(seed_id='123456701301'), 422, 'INVALID_FIELD'),
    ('seed_id a number', good(seed_id=1), 422, 'INVALID_FIELD'),
    ('nonce too long', good(client_nonce='n' * 65), 422, 'INVALID_FIELD'),
    ('a typo', good(cuont=10), 422, 'INVALID_FIELD'),
    ('a field of b2c', good(subsidy_id='1'), 422, 'INVALID_FIELD'),
    ('a body above 16 KB', good(greeting='x' * 17000), 413, 'BODY_TOO_LARGE'),
    ('a body of 1 MB', b'x' * 1_000_000, 413, 'BODY_TOO_LARGE'),
]


@pytest.mark.parametrize('body,status,code', [row[1:] for row in SEND], ids=[row[0] for row in SEND])
def test_send(stack, body, status, code):
    answer = stack.call('POST', '/v1/packets', ME, raw=body, headers={**KEY, **JSON})
    check(answer, status, code)


def check(answer, status, code):
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers['content-type'].startswith('application/problem+json')
    problem = answer.json
    for field in ('type', 'title', 'status', 'detail', 'code', 'retryable', 'user_message', 'request_id'):
        assert field in problem, field
    assert problem['status'] == status and problem['request_id'] == answer.headers['x-request-id']
    if code == 'INVALID_FIELD':
        assert problem['errors'] and all(e['field'] for e in problem['errors'])


def token_row(change):
    return lambda stack: {'Authorization': 'Bearer ' + change(stack.mint(ME))}


def flip(text, at):
    return text[:at] + ('A' if text[at] != 'A' else 'B') + text[at + 1:]


BEARER = token_row(lambda t: t)
# what the row shows, method, path, headers (a function of the stack), body, status, code
OTHERS = [
    ('no session', 'GET', '/v1/me/sent', lambda s: {}, None, 401, 'SESSION_INVALID'),
    ('a forged mac', 'GET', '/v1/me/sent', token_row(lambda t: flip(t, len(t) - 10)), None, 401, 'SESSION_INVALID'),
    ('another uid under the mac', 'GET', '/v1/me/sent', token_row(lambda t: t.replace('.1301.', '.1302.')), None, 401, 'SESSION_INVALID'),
    ('a later end under the mac', 'GET', '/v1/me/sent', token_row(lambda t: '.'.join(t.split('.')[:2] + ['9999999999'] + t.split('.')[3:])), None, 401, 'SESSION_INVALID'),
    ('an unknown key id', 'GET', '/v1/me/sent', token_row(lambda t: '.'.join(t.split('.')[:3] + ['zz'] + t.split('.')[4:])), None, 401, 'SESSION_INVALID'),
    ('an expired token', 'GET', '/v1/me/sent', lambda s: {'Authorization': 'Bearer ' + s.mint(ME, time.time() - 5)}, None, 401, 'SESSION_INVALID'),
    ('a token cut short', 'GET', '/v1/me/sent', token_row(lambda t: t[:30]), None, 401, 'SESSION_INVALID'),
    ('a token with a tail', 'GET', '/v1/me/sent', token_row(lambda t: t + '.x'), None, 401, 'SESSION_INVALID'),
    ('basic authorization', 'GET', '/v1/me/sent', lambda s: {'Authorization': 'Basic dTpw'}, None, 401, 'SESSION_INVALID'),
    ('cookie and bearer', 'GET', '/v1/me/sent', lambda s: {'Authorization': 'Bearer ' + s.mint(ME), 'Cookie': 'hb_session=' + s.mint(ME)}, None, 400, 'SESSION_AMBIGUOUS'),
    ('cookie write without X-Hb-Csrf', 'POST', '/v1/packets', lambda s: {'Cookie': 'hb_session=' + s.mint(ME), 'Origin': s.front, **KEY, **JSON}, good(), 403, 'CSRF_REFUSED'),
    ('cookie write without Origin', 'POST', '/v1/packets', lambda s: {'Cookie': 'hb_session=' + s.mint(ME), 'X-Hb-Csrf': '1', **KEY, **JSON}, good(), 403, 'CSRF_REFUSED'),
    ('cookie write from elsewhere', 'POST', '/v1/packets', lambda s: {'Cookie': 'hb_session=' + s.mint(ME), 'X-Hb-Csrf': '1', 'Origin': 'http://evil.example', **KEY, **JSON}, good(), 403, 'CSRF_REFUSED'),
    ('no key', 'POST', '/v1/packets', lambda s: {**BEARER(s), **JSON}, good(), 400, 'IDEMPOTENCY_KEY_MISSING'),
    ('a key too short', 'POST', '/v1/packets', lambda s: {**BEARER(s), **JSON, 'Idempotency-Key': 'short'}, good(), 400, 'IDEMPOTENCY_KEY_INVALID'),
    ('a key too long', 'POST', '/v1/packets', lambda s: {**BEARER(s), **JSON, 'Idempotency-Key': 'k' * 65}, good(), 400, 'IDEMPOTENCY_KEY_INVALID'),
    ('a key with a space', 'POST', '/v1/packets', lambda s: {**BEARER(s), **JSON, 'Idempotency-Key': 'with a space'}, good(), 400, 'IDEMPOTENCY_KEY_INVALID'),
    ('form data', 'POST', '/v1/packets', lambda s: {**BEARER(s), **KEY, 'Content-Type': 'application/x-www-form-urlencoded'}, b'kind=c2c', 415, 'UNSUPPORTED_MEDIA_TYPE'),
    ('plain text', 'POST', '/v1/packets', lambda s: {**BEARER(s), **KEY, 'Content-Type': 'text/plain'}, good(), 415, 'UNSUPPORTED_MEDIA_TYPE'),
    ('no content type', 'POST', '/v1/packets', lambda s: {**BEARER(s), **KEY}, good(), 415, 'UNSUPPORTED_MEDIA_TYPE'),
    ('a content type that only begins so', 'POST', '/v1/packets', lambda s: {**BEARER(s), **KEY, 'Content-Type': 'application/jsonx'}, good(), 415, 'UNSUPPORTED_MEDIA_TYPE'),
    ('a method that is not there', 'DELETE', '/v1/packets', BEARER, None, 405, 'METHOD_NOT_ALLOWED'),
    ('a path that is not there', 'GET', '/v1/nothing', BEARER, None, 404, 'NOT_FOUND'),
    ('a path with a tail', 'GET', '/v1/me/sent/x', BEARER, None, 404, 'NOT_FOUND'),
    ('a packet that is not there', 'POST', '/v1/packets/99999901301/claim', BEARER, None, 404, 'NOT_FOUND'),
    ('a cover that is not there', 'GET', '/v1/packets/99999901301', BEARER, None, 404, 'NOT_FOUND'),
    ('a packet id of letters', 'GET', '/v1/packets/abc', BEARER, None, 404, 'NOT_FOUND'),
    ('a packet id with a leading zero', 'GET', '/v1/packets/099999901301', BEARER, None, 404, 'NOT_FOUND'),
    ('a packet id of 2^63', 'GET', '/v1/packets/9223372036854775808', BEARER, None, 404, 'NOT_FOUND'),
    ('a packet id of 40 digits', 'GET', '/v1/packets/' + '9' * 40, BEARER, None, 404, 'NOT_FOUND'),
    ('a negative packet id', 'GET', '/v1/packets/-1', BEARER, None, 404, 'NOT_FOUND'),
    ('a payment that is not there', 'GET', '/v1/payments/99999901301', BEARER, None, 404, 'NOT_FOUND'),
    ('limit zero', 'GET', '/v1/me/sent?limit=0', BEARER, None, 422, 'INVALID_FIELD'),
    ('limit above 100', 'GET', '/v1/me/sent?limit=101', BEARER, None, 422, 'INVALID_FIELD'),
    ('limit a word', 'GET', '/v1/me/sent?limit=ten', BEARER, None, 422, 'INVALID_FIELD'),
    ('limit twice', 'GET', '/v1/me/sent?limit=1&limit=2', BEARER, None, 400, 'INVALID_REQUEST'),
    ('an unknown parameter', 'GET', '/v1/me/sent?offset=1', BEARER, None, 400, 'INVALID_REQUEST'),
    ('a forged cursor', 'GET', '/v1/me/received?cursor=AAAAAAAA', BEARER, None, 400, 'CURSOR_INVALID'),
    ('a body for a claim that is an array', 'POST', '/v1/packets/99999901301/claim', lambda s: {**BEARER(s), **JSON}, b'[]', 400, 'INVALID_JSON'),
    ('a claim with an unknown field', 'POST', '/v1/packets/99999901301/claim', lambda s: {**BEARER(s), **JSON}, b'{"uid": "1"}', 422, 'INVALID_FIELD'),
    ('a login without a uid', 'POST', '/v1/demo/login', lambda s: JSON, b'{}', 422, 'INVALID_FIELD'),
    ('a login with uid zero', 'POST', '/v1/demo/login', lambda s: JSON, b'{"uid": "0"}', 422, 'INVALID_FIELD'),
    ('a login with a number', 'POST', '/v1/demo/login', lambda s: JSON, b'{"uid": 1001}', 422, 'INVALID_FIELD'),
    ('a callback without a signature', 'POST', '/v1/callbacks/finance/99999901301', lambda s: JSON, b'{}', 401, 'SIGNATURE_INVALID'),
    ('a callback with a forged one', 'POST', '/v1/callbacks/finance/99999901301',
     lambda s: {**JSON, 'X-Finance-Signature': 'v1 hongbao 1700000000 e1 k1 ' + 'A' * 43}, b'{}', 401, 'SIGNATURE_INVALID'),
]


@pytest.mark.parametrize('method,path,headers,body,status,code', [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_request(stack, method, path, headers, body, status, code):
    check(stack.http.call(method, path, raw=body, headers=headers(stack)), status, code)


def test_there_are_at_least_80_rows():
    assert len(SEND) + len(OTHERS) >= 80


def test_a_refused_send_leaves_no_trace(stack):
    assert stack.rows('A', 'SELECT COUNT(*) FROM packet WHERE sender = %s', (ME,)) == ((0,),)
    assert stack.rows('A', 'SELECT COUNT(*) FROM idempotency WHERE uid = %s', (ME,)) == ((0,),)


def test_other_users_orders_are_theirs(stack):
    made = stack.send(OTHER, 100, 1).json
    packet, order = made['packet']['id'], made['payment']['order_no']
    check(stack.call('GET', f'/v1/payments/{order}', ME), 403, 'FORBIDDEN')
    check(stack.call('PUT', f'/v1/packets/{packet}/video', ME, {'video_id': 'v'}), 403, 'FORBIDDEN')
    stack.pay(made['payment']['cashier_url'])
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet opens')
    check(stack.call('PUT', f'/v1/packets/{packet}/video', ME, {'video_id': 'v'}), 403, 'FORBIDDEN')
    check(stack.call('GET', f'/v1/packets/{packet}/claims', ME), 403, 'FORBIDDEN')
    check(stack.call('GET', f'/v1/packets/{packet}/fairness', ME), 403, 'FORBIDDEN')


def raw(stack, request, finish=True):
    """Bytes on the wire as they are; what comes back until the connection closes."""
    with socket.create_connection((stack.http.host, stack.http.port), timeout=10) as s:
        s.sendall(request)
        if finish:
            s.shutdown(socket.SHUT_WR)
        out = b''
        while chunk := s.recv(65536):
            out += chunk
        return out


def test_a_truncated_body_does_nothing(stack):
    head = f'POST /v1/packets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.mint(ME)}\r\nIdempotency-Key: truncated-001\r\n' \
           'Content-Type: application/json\r\nContent-Length: 500\r\nConnection: close\r\n\r\n'
    out = raw(stack, head.encode() + good())
    assert out == b'' or b' 400 ' in out.split(b'\r\n')[0], out
    assert stack.rows('A', 'SELECT COUNT(*) FROM packet WHERE sender = %s', (ME,)) == ((0,),)


@pytest.mark.parametrize('request_bytes', [b'GARBAGE\r\n\r\n', b'GET /v1/me/sent HTTP/1.1\r\n\r\n', b'GET / HTTP/9.9\r\nHost: x\r\n\r\n',
                                           b'GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
                                           b'GET /../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'])
def test_what_is_not_http_gets_a_4xx_or_505(stack, request_bytes):
    out = raw(stack, request_bytes)
    assert out.split(b'\r\n')[0].split()[1][:1] == b'4' or b' 505 ' in out, out


def test_user_message_follows_accept_language(stack):
    texts = {lang: stack.http.call('GET', '/v1/me/sent', headers={'Accept-Language': lang}).json['user_message'] for lang in ('zh-CN', 'en')}
    assert texts == {'zh-CN': '请先登录', 'en': 'Please sign in.'}
    made_by_nginx = {lang: stack.http.call('GET', '/nowhere', headers={'Accept-Language': lang}).json['user_message'] for lang in ('zh-CN', 'en')}
    assert made_by_nginx == {'zh-CN': '找不到该内容', 'en': 'This could not be found.'}
