"""Subsidies through the front door: recorded by message, spent by token before that, listed from both, expired and settled."""
import contextlib
import hashlib
import http.server
import json
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import b2c
import bot
import hb

USABLE, SPENT, EXPIRED = 1, 2, 3
OPEN = 2


@pytest.fixture(scope='module')
def campaign(stack):
    return b2c.Campaign(stack)


@pytest.fixture
def consumers_stopped(stack):
    """No message of a win is handled meanwhile."""
    for cell in stack.cells:
        stack.sv('force-stop', f'{cell}-worker-subsidy')
    yield
    for cell in stack.cells:
        stack.sv('up', f'{cell}-worker-subsidy')


def test_a_win_is_recorded_by_its_message_listed_and_sent_from(stack, campaign):
    for uid in (21001, 21501):
        win = campaign.win(uid, 1000)
        b2c.publish(stack, [win, win])
        stack.wait(lambda uid=uid: b2c.rows(stack, uid), 'the win is recorded')
        one, = b2c.listed(stack, uid)['data']
        assert (one['subsidy_id'], one['amount']['amount'], one['state'], one['source']) == (str(win['no']), 1000, 'usable', 'record')
        sent = b2c.send(stack, uid, subsidy_id=one['subsidy_id'], key=f'key-of-{uid}')
        assert sent.status == 201 and 'payment' not in sent.json, sent
        packet = sent.json['packet']
        assert (packet['kind'], packet['state'], packet['total']['amount'], packet['remaining_count']) == ('b2c', 'open', 1000, 3)
        again = b2c.send(stack, uid, subsidy_id=one['subsidy_id'], key=f'key-of-{uid}')
        assert again.status == 201 and again.headers['idempotent-replayed'] == 'true' and again.json == sent.json
        cover = stack.call('GET', f'/v1/packets/{packet["id"]}', uid + 1)
        assert cover.status == 200 and cover.json['packet']['state'] == 'open', cover
        claim = stack.claim_until(uid + 1, packet['id'])
        assert claim.json['outcome'] == 'claimed', claim
        one, = b2c.listed(stack, uid)['data']
        assert (one['state'], one['packet_id']) == ('spent', packet['id'])
        assert stack.rows(stack.cell_of(uid), 'SELECT campaign, kind FROM packet WHERE packet_id = %s', (packet['id'],)) == ((campaign.number, 2),)


def test_a_token_is_sent_at_once_while_its_message_waits(stack, campaign, consumers_stopped):
    win = campaign.win(21011, 500)
    token = b2c.seal(stack, win)
    b2c.publish(stack, [win] * 3)
    sent = b2c.send(stack, 21011, subsidy_token=token)
    assert sent.status == 201 and sent.json['packet']['state'] == 'open', sent
    refused = b2c.send(stack, 21011, subsidy_token=token)
    assert (refused.status, refused.code) == (409, 'SUBSIDY_SPENT')
    refused = b2c.send(stack, 21011, subsidy_id=str(win['no']))
    assert (refused.status, refused.code) == (409, 'SUBSIDY_SPENT')
    stack.sv('up', 'A-worker-subsidy')
    later = campaign.win(21011, 501, k=1)
    b2c.publish(stack, [later])
    stack.wait(lambda: len(b2c.rows(stack, 21011)) == 2, 'the messages are handled')
    assert sorted((r[2], r[3]) for r in b2c.rows(stack, 21011)) == [(500, SPENT), (501, USABLE)]


def test_a_b2c_send_says_what_is_wrong_with_it(stack, campaign):
    win = campaign.win(21021, 2)
    token = b2c.seal(stack, win)
    money = {'amount': 100, 'currency': 'CNY'}
    for body, field in (({'subsidy_token': token, 'total': money}, 'total'), ({}, 'subsidy_id'),
                        ({'subsidy_token': token, 'subsidy_id': '5'}, 'subsidy_id')):
        answer = b2c.send(stack, 21021, **body)
        assert (answer.status, answer.code, answer.json['errors'][0]['field']) == (422, 'INVALID_FIELD', field), answer
    for body, field in (({'subsidy_token': token}, 'subsidy_token'), ({'subsidy_id': '5'}, 'subsidy_id')):
        answer = stack.send(21021, 100, 2, **body)
        assert (answer.status, answer.code, answer.json['errors'][0]['field']) == (422, 'INVALID_FIELD', field), answer
    answer = stack.call('POST', '/v1/packets', 21021, {'kind': 'c2c', 'split': 'lucky', 'count': 1}, headers={'Idempotency-Key': 'no-total-at-all'})
    assert (answer.status, answer.json['errors'][0]['field']) == (422, 'total')
    for bad in ('hbs1.AAAA', 'x', '', 'not a token', token + '=', 'x' * 5000, token[:-4] + 'AAAA', b2c.seal(stack, win, uid=21022), b2c.seal(stack, {**win, 'l': 1}),
                b2c.seal(stack, {**win, 'u': 21022, 'o': win['o'][:-1] + '2'}, uid=21021)):
        answer = b2c.send(stack, 21021, subsidy_token=bad)
        assert (answer.status, answer.code) == (422, 'TOKEN_INVALID'), (bad, answer)
    assert b2c.send(stack, 21021, subsidy_token=token, count=3).code == 'SHARE_TOO_SMALL'
    assert b2c.send(stack, 21021, subsidy_id='1021').code == 'NOT_FOUND'
    past = b2c.seal(stack, campaign.win(21021, 5, k=1, expires_in_ms=-1))
    assert (b2c.send(stack, 21021, subsidy_token=past).status, b2c.send(stack, 21021, subsidy_token=past).code) == (410, 'SUBSIDY_EXPIRED')
    assert b2c.rows(stack, 21021) == ()  # what was refused left nothing
    assert b2c.send(stack, 21021, subsidy_token=token, count=2).status == 201


def test_the_list_holds_what_is_won_and_says_when_it_cannot_know(stack, consumers_stopped):
    """hb-rain, memcached and the list of tokens: whole, then degraded by a memcached that forgot, then whole again once all is recorded."""
    campaign = b2c.Campaign(stack, leased=0, prize=100)
    uid = 21071
    stack.wait(lambda: stack.call('GET', f'/v1/rain/{campaign.name}', uid).status == 200, 'hb-rain knows the campaign')
    stack.sv('up', 'A-worker-subsidy')
    stack.wait(lambda: b2c.listed(stack, uid)['degraded'] == [], 'the list is whole')
    stack.sv('force-stop', 'A-worker-subsidy')
    won = stack.call('POST', f'/v1/rain/{campaign.name}/draw', uid).json['subsidy']
    listed = b2c.listed(stack, uid)
    assert listed['degraded'] == []
    one, = listed['data']
    assert (one['source'], one['subsidy_id'], one['state'], one['amount']['amount']) == ('token', won['subsidy_id'], 'usable', 100)
    assert b2c.rows(stack, uid) == ()  # listing records nothing
    stack.sv('restart', 'A-cache-east')
    stack.wait(lambda: b2c.listed(stack, uid)['degraded'] == ['token_list'], 'a memcached that is younger than a message is noticed')
    for _ in range(20):
        assert b2c.listed(stack, uid)['degraded'] == ['token_list']
        time.sleep(0.1)
    sent = b2c.send(stack, uid, subsidy_token=won['token'])
    assert sent.status == 201, sent  # sending goes on
    stack.sv('up', 'A-worker-subsidy')
    stack.wait(lambda: b2c.listed(stack, uid)['degraded'] == [], 'all is recorded, so the list is whole again')
    one, = b2c.listed(stack, uid)['data']
    assert (one['source'], one['state'], one['packet_id']) == ('record', 'spent', sent.json['packet']['id'])


def test_a_win_is_sent_by_its_number_before_it_is_recorded(stack):
    campaign = b2c.Campaign(stack, leased=0, prize=100)
    for uid in (21081, 21581):
        stack.wait(lambda uid=uid: stack.call('GET', f'/v1/rain/{campaign.name}', uid).status == 200, 'hb-rain knows the campaign')
        stack.sv('force-stop', f'{stack.cell_of(uid)}-worker-subsidy')
        try:
            number = stack.call('POST', f'/v1/rain/{campaign.name}/draw', uid).json['subsidy']['subsidy_id']
            assert b2c.rows(stack, uid) == ()
            assert b2c.send(stack, uid + 1, subsidy_id=number).code == 'NOT_FOUND'
            key = f'by-number-{uid}-{number}'
            sent = b2c.send(stack, uid, subsidy_id=number, key=key)
            assert sent.status == 201 and sent.json['packet']['total']['amount'] == 100, sent
            assert b2c.send(stack, uid, subsidy_id=number, key=key).json == sent.json
            assert b2c.send(stack, uid, subsidy_id=number).code == 'SUBSIDY_SPENT'
        finally:
            stack.sv('up', f'{stack.cell_of(uid)}-worker-subsidy')
        stack.wait(lambda: b2c.queued(stack, stack.cell_of(uid)) == 0, 'the message is handled')
        assert [(r[0], r[3]) for r in b2c.rows(stack, uid)] == [(int(number), SPENT)]


def test_the_list_goes_on_by_cursor(stack, campaign):
    uid = 21091
    wins = [campaign.win(uid, 10 + k, k=k) for k in range(7)]
    b2c.publish(stack, wins[:5])
    stack.wait(lambda: len(b2c.rows(stack, uid)) == 5, 'the wins are recorded')
    b2c.publish(stack, wins[5:])
    stack.wait(lambda: len(b2c.rows(stack, uid)) == 7, 'the others, too')
    spent = wins[6]['no']
    assert b2c.send(stack, uid, subsidy_id=str(spent)).status == 201
    pages, cursor = [], ''
    while cursor is not None:
        page = stack.call('GET', f'/v1/me/subsidies?limit=3&cursor={cursor}', uid).json
        pages.append([int(s['subsidy_id']) for s in page['data']])
        cursor = page['next_cursor']
    assert [len(p) for p in pages] == [3, 3, 1], pages
    seen = sum(pages, [])
    assert sorted(seen) == sorted(w['no'] for w in wins) and seen[0] == wins[5]['no'] and seen[-1] == spent, (seen, wins)


def test_another_user_s_subsidy_is_not_there(stack, campaign):
    win = campaign.win(21031)
    b2c.publish(stack, [win])
    stack.wait(lambda: b2c.rows(stack, 21031), 'the win is recorded')
    assert b2c.send(stack, 21032, subsidy_id=str(win['no'])).code == 'NOT_FOUND'
    assert b2c.rows(stack, 21031)[0][3] == USABLE


def test_one_subsidy_spent_by_100_parallel_sends_is_one_envelope(stack, campaign):
    for uid in (21041, 21541):
        win = campaign.win(uid, 1000)
        token = b2c.seal(stack, win)
        b2c.publish(stack, [win])
        stack.token(uid)
        how = [{'subsidy_token': token}, {'subsidy_id': str(win['no'])}]
        # The row may not be there yet, so those who name it come again.
        def one(i):
            while (answer := b2c.send(stack, uid, **how[i % 2], key=f'{uid}-{i:08}')).status == 404:
                pass
            return answer
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(one, range(100)))
        assert sorted({(a.status, a.code) for a in answers}, key=str) == [(201, None), (409, 'SUBSIDY_SPENT')]
        assert sum(a.status == 201 for a in answers) == 1
        assert stack.rows(stack.cell_of(uid), 'SELECT COUNT(*), SUM(total) FROM packet WHERE sender = %s', (uid,)) == ((1, 1000),)
        assert [r[3] for r in b2c.rows(stack, uid)] == [SPENT]


def test_an_unspent_subsidy_expires_and_its_money_goes_back(stack, campaign):
    win = campaign.win(21051, 777, expires_in_ms=1000)
    b2c.publish(stack, [win])
    before = campaign.balance('A')
    stack.wait(lambda: b2c.rows(stack, 21051) and b2c.rows(stack, 21051)[0][3] == EXPIRED, 'the subsidy expires')
    assert campaign.balance('A') == before + 777
    answer = b2c.send(stack, 21051, subsidy_id=str(win['no']))
    assert (answer.status, answer.code) == (410, 'SUBSIDY_EXPIRED')
    assert b2c.listed(stack, 21051)['data'][0]['state'] == 'expired'


def test_a_lease_is_settled_when_its_time_is_over_and_nothing_waits(stack):
    campaign = b2c.Campaign(stack, leased=0)
    campaign.lease['A'] = campaign.lend('A', 5000, settle_in_ms=3000)
    b2c.publish(stack, [campaign.win(21061, 1200, expires_in_ms=b2c.DAY_MS)])
    stack.wait(lambda: stack.rows('A', 'SELECT state FROM budget_lease WHERE lease_id = %s', (campaign.lease['A'],)) == ((2,),), 'it is settled')
    assert stack.rows('A', 'SELECT returned FROM budget_lease WHERE lease_id = %s', (campaign.lease['A'],)) == ((3800,),)
    assert campaign.balance('A') == 10_000_000 - 1200
    late = campaign.win(21061, 100, k=9)
    assert b2c.send(stack, 21061, subsidy_token=b2c.seal(stack, late)).code == 'SUBSIDY_EXPIRED'
    b2c.publish(stack, [late])
    stack.wait(lambda: b2c.queued(stack, 'A') == 0, 'the late message is handled')
    assert campaign.balance('A') == 10_000_000 - 1200 and len(b2c.rows(stack, 21061)) == 1


def test_a_backlog_is_recorded_at_the_configured_rate_and_shown(stack, campaign, consumers_stopped):
    """With the defaults: 2,000 a second; what is shown is when it will be empty."""
    wins = [campaign.win(22000 + i % 400, 1, k=i // 400) for i in range(5000)]
    b2c.publish(stack, wins)

    def shown():
        return next(c for c in json.loads(b2c.hbctl(stack, '-o', 'json', 'subsidies', 'backlog')) if c['cell'] == 'A')
    stack.wait(lambda: shown()['queued'] >= 5000, 'all wait')
    assert (shown()['consumers'], shown()['empty_in_s']) == (0, None)
    stack.sv('up', 'A-worker-subsidy')

    def recorded():
        return stack.rows('A', 'SELECT COUNT(*) FROM subsidy WHERE uid BETWEEN 22000 AND 22399 AND campaign = %s', (campaign.number,))[0][0]
    stack.wait(lambda: recorded() > 0, 'it begins')
    began, first = time.monotonic(), recorded()
    stack.wait(lambda: recorded() == 5000, 'all are recorded', 120)
    assert (5000 - first) / (time.monotonic() - began) < 2200
    assert shown()['queued'] == 0
    assert stack.rows('A', 'SELECT COUNT(DISTINCT out_order_no), SUM(amount) FROM subsidy WHERE uid BETWEEN 22000 AND 22399 AND campaign = %s',
                      (campaign.number,)) == ((5000, 5000),)


# ---- partners ----

def order(number, uid=21101, amount=300, campaign='', **more):
    at = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 3600))
    return {'out_order_no': number, 'uid': str(uid), 'amount': {'amount': amount, 'currency': 'CNY'}, 'campaign': campaign, 'expires_at': at, **more}


def slot_cell(stack, number, name='demo'):
    return stack.cell_of(int(hashlib.sha256(f'{name}\n{number}'.encode()).hexdigest()[:8], 16) % 1000)


def test_a_partner_gives_a_subsidy_once(stack, campaign):
    for i, uid in enumerate((21101, 21601, 21101, 21601)):
        body = order(f'once-{campaign.number}-{i}', uid, campaign=campaign.name)
        before = campaign.balance(stack.cell_of(uid))
        made, again = b2c.partner(stack, body), b2c.partner(stack, body)
        assert (made.status, again.status) == (201, 200), (made, again)
        assert made.json == again.json and made.json['state'] == 'usable'
        assert campaign.balance(stack.cell_of(uid)) == before - 300
        for other in ({'uid': '21102'}, {'uid': '21602'}, {'amount': {'amount': 301, 'currency': 'CNY'}}):
            answer = b2c.partner(stack, {**body, **other})
            assert (answer.status, answer.code) == (409, 'ORDER_CONFLICT'), answer
        assert str(made.json['subsidy_id']) in [s['subsidy_id'] for s in b2c.listed(stack, uid)['data']]
        assert b2c.send(stack, uid, subsidy_id=made.json['subsidy_id']).status == 201
        assert b2c.partner(stack, body).json['state'] == 'spent'
        assert stack.rows(slot_cell(stack, body['out_order_no']), 'SELECT uid FROM tracking WHERE issuer = %s AND out_order_no = %s',
                          ('demo', body['out_order_no'])) == ((uid,),)


def test_a_partner_s_repeat_gets_its_answer_also_when_the_time_is_over(stack, campaign):
    soon = time.time() + 3
    body = order(f'late-{campaign.number}', campaign=campaign.name, expires_at=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(soon)))
    made = b2c.partner(stack, body)
    assert made.status == 201, made
    stack.wait(lambda: time.time() > soon, 'its time is over')
    again = b2c.partner(stack, body)
    assert (again.status, again.json) == (200, {**made.json, 'state': 'expired'}), again
    answer = b2c.partner(stack, {**body, 'out_order_no': f'late-{campaign.number}-x'})
    assert (answer.status, answer.code, answer.json['errors'][0]['field']) == (422, 'INVALID_FIELD', 'expires_at'), answer
    for cell in stack.cells:
        assert stack.rows(cell, 'SELECT COUNT(*) FROM tracking WHERE out_order_no = %s', (f'late-{campaign.number}-x',)) == ((0,),)


def test_what_a_partner_may_not_do_is_refused_and_leaves_nothing(stack, campaign):
    body = order(f'refused-{campaign.number}', campaign=campaign.name)
    raw = json.dumps(body).encode()
    for bad in ({'key': '00' * 32}, {'at': time.time() - 400}, {'at': time.time() + 400}, {'name': 'nobody', 'key': '00' * 32}):
        answer = b2c.partner(stack, body, **bad)
        assert (answer.status, answer.code) == (401, 'SIGNATURE_INVALID'), (bad, answer)
    unsigned = stack.http.call('POST', '/v1/partner/subsidies', raw=raw, headers={'Content-Type': 'application/json'})
    assert unsigned.code == 'SIGNATURE_INVALID'
    for bad, code in (({'campaign': 'none-such'}, 'INVALID_FIELD'), ({'amount': {'amount': 0, 'currency': 'CNY'}}, 'AMOUNT_OUT_OF_RANGE'),
                      ({'expires_at': '2020-01-01T00:00:00Z'}, 'INVALID_FIELD'), ({'out_order_no': 'a b'}, 'INVALID_FIELD'), ({'extra': 1}, 'INVALID_FIELD')):
        answer = b2c.partner(stack, {**body, **bad})
        assert answer.code == code, (bad, answer)
    for cell in stack.cells:
        assert stack.rows(cell, 'SELECT COUNT(*) FROM tracking WHERE out_order_no LIKE %s', (f'refused-{campaign.number}%',)) == ((0,),)


def test_a_campaign_that_is_spent_is_told_to_the_partner(stack):
    campaign = b2c.Campaign(stack, budget=500, leased=0)
    assert b2c.partner(stack, order(f'a-{campaign.number}', amount=400, campaign=campaign.name)).status == 201
    answer = b2c.partner(stack, order(f'b-{campaign.number}', amount=101, campaign=campaign.name))
    assert (answer.status, answer.code) == (409, 'BUDGET_SPENT')
    assert b2c.partner(stack, order(f'c-{campaign.number}', amount=100, campaign=campaign.name)).status == 201
    assert campaign.balance('A') == 0


def test_the_internal_routes_are_not_there_for_the_public(stack):
    for path in ('/internal/v1/tracking/1001', '/internal/v1/subsidies/1001'):
        assert stack.http.call('POST', path, {}).status in (404, 405)
        inside = hb.Client(f'http://127.0.0.1:{stack.doors[0]["internal_port"]}')
        answer = inside.call('POST', path, {})
        assert (answer.status, answer.code) == (401, 'SIGNATURE_INVALID')
        assert inside.call('POST', '/v1/partner/subsidies', {}).status == 404


def test_a_cell_that_is_down_fails_its_numbers_and_users_only(stack, campaign):
    numbers = [f'down-{campaign.number}-{i}' for i in range(40)]
    in_b = [n for n in numbers if slot_cell(stack, n) == 'B']
    in_a = [n for n in numbers if slot_cell(stack, n) == 'A']
    cores = [f'B-core-{i}' for i in (1, 2)]
    for core in cores:
        stack.sv('force-stop', core)
    try:
        for n in in_a:
            answer = b2c.partner(stack, order(n, 21111, campaign=campaign.name))
            assert answer.status == 201, answer
        for n in in_b[:3]:
            answer = b2c.partner(stack, order(n, 21111, campaign=campaign.name))
            assert answer.status == 503 and answer.json['retryable'], answer
        tracked = in_a[0] + '-x'
        tracked = next(f'{tracked}{i}' for i in range(99) if slot_cell(stack, f'{tracked}{i}') == 'A')
        answer = b2c.partner(stack, order(tracked, 21611, campaign=campaign.name))
        assert answer.status == 503, answer  # tracked, not granted
    finally:
        for core in cores:
            stack.sv('up', core)
    for port in stack.member('B')['core_ports']:
        stack.wait(lambda port=port: hb.listens(port), 'hb-core is back')
    for n, uid in [(n, 21111) for n in in_b[:3]] + [(tracked, 21611)]:
        stack.wait(lambda n=n, uid=uid: b2c.partner(stack, order(n, uid, campaign=campaign.name)).status in (200, 201), 'the repeat finishes it')
    assert len([r for r in b2c.rows(stack, 21611) if r[1] == tracked.encode()]) == 1


def test_messages_for_a_cell_that_hangs_hold_no_others(stack, campaign):
    numbers = [f'hangs-{campaign.number}-{i}' for i in range(40)]
    in_b, in_a = ([n for n in numbers if slot_cell(stack, n) == cell][:5] for cell in 'BA')
    message = {'i': 'demo', 'u': 21121, 'a': 300, 'c': campaign.name, 'x': b2c.now_ms() + b2c.DAY_MS}

    def there(some):
        return {r[1] for r in b2c.rows(stack, 21121)} >= {n.encode() for n in some}

    cores = [f'B-core-{i}' for i in (1, 2)]
    for core in cores:
        stack.kill(core, signal.SIGSTOP)
    try:
        b2c.publish(stack, [{**message, 'o': n} for n in in_b + in_a], 9)
        stack.wait(lambda: there(in_a), 'those that need A alone are done', 15)
        assert not there(in_b[:1])
    finally:
        for core in cores:
            stack.kill(core, signal.SIGCONT)
    stack.wait(lambda: there(in_b), 'the others come again', 40)


@contextlib.contextmanager
def peers_502(stack):
    """Whatever A's worker of partners' messages asks of any cell is answered by a bare 502; messages may come again for a second."""
    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers['Content-Length']))
            asked.append(self.path)
            self.send_response(502)
            self.send_header('Content-Length', '0')
            self.end_headers()

        def log_message(self, *_):
            pass

    asked, doors = [], [http.server.ThreadingHTTPServer(('127.0.0.1', 0), Door) for _ in stack.doors]
    for door in doors:
        threading.Thread(target=door.serve_forever, daemon=True).start()
    ports = (f'internal_port = {door.server_port}' for door in doors)
    config, topology = stack.folder / 'etc/hongbao.cfg', stack.folder / 'etc/topology.cfg'
    other, before = stack.folder / 'etc/topology-502.cfg', config.read_text()
    other.write_text(re.sub(r'internal_port = \d+', lambda _: next(ports), topology.read_text()))
    text = before.replace(str(topology), str(other)) + '\nsubsidy: { away_s = 1; };\n'
    assert str(other) in text and next(ports, None) is None
    try:
        config.write_text(text)
        stack.sv('restart', 'A-worker-issue')
        yield asked
    finally:
        config.write_text(before)
        stack.sv('restart', 'A-worker-issue')
        other.unlink()
        for door in doors:
            door.shutdown()
            door.server_close()


def test_a_message_that_no_cell_understands_is_parked_and_told_and_works_when_it_is_put_back(stack, campaign):
    number = f'never-{campaign.number}'

    def given():
        return [r for r in b2c.rows(stack, 21131) if r[1] == number.encode()]

    with peers_502(stack) as asked:
        b2c.publish(stack, [{'i': 'demo', 'u': 21131, 'a': 300, 'c': campaign.name, 'x': b2c.now_ms() + b2c.DAY_MS, 'o': number}], 9)
        message, = stack.wait(lambda: bot.parked(stack, number), 'it is parked', 60)
        assert message['queue'] == 'A.issue' and message['reason'].startswith('OUTCOME_UNKNOWN for '), message
        assert len(asked) == 2 and not given()
    assert stack.rows('A', 'SELECT COUNT(*) FROM alert WHERE kind = 2 AND subject = %s', (str(message['id']),)) == ((1,),)
    code, _, err = bot.hbctl(stack, 'orders', 'push', '--parked', str(message['id']), '--cell', 'A', '--reason', 'a test')
    assert code == 0, err
    stack.wait(given, 'the subsidy is there', 60)
