"""hbctl trace: one envelope's story over both cells, by its number, that of any order of it, a request's id or a trace's. And what the logs say."""
import gzip
import json
import os
import re
import shutil
import subprocess
import time

import pytest

import b2c
import hb


def trace(stack, number, *more):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', '-o', 'json', 'trace', str(number), *more],
                          env={**os.environ, 'HB_NAME': stack.folder.name}, capture_output=True, text=True)


def test_one_envelope_over_both_cells(stack):
    packet = stack.open_packet(1001, 1000, 2)
    claims = [stack.claim_until(uid, packet).json['claim'] for uid in (1002, 1502)]
    for uid in (1002, 1502):
        stack.wait(lambda: stack.claim(uid, packet).json['claim']['transfer_state'] == 'done', 'it is paid')
    stack.wait(lambda: stack.rows('B', 'SELECT 1 FROM received WHERE uid = 1502 AND claim_no = %s', (claims[1]['claim_no'],)), 'it is in the list')
    done = trace(stack, packet)
    assert done.returncode == 0, done
    story = json.loads(done.stdout)
    assert [m['at'] for m in story] == sorted(m['at'] for m in story)
    kinds = [(m['kind'], m['cell'], m['state']) for m in story]
    assert ('packet', 'A', 'exhausted') in kinds and ('payment', 'A', 'paid') in kinds
    assert sorted(m['number'] for m in story if m['kind'] == 'claim') == sorted(c['claim_no'] for c in claims)
    assert sorted((m['number'], m['amount']) for m in story if m['kind'] == 'transfer' and m['state'] == 'done') == \
        sorted((c['claim_no'], c['amount']['amount']) for c in claims)
    assert ('received', 'B') in [(m['kind'], m['cell']) for m in story if m['uid'] == '1502']
    assert any(m['kind'] == 'callback' and m['detail'] != 'not handled' for m in story)
    stack.wait(lambda: any(m['kind'] == 'log' and f'POST /v1/packets/{packet}/claim' in m['detail']
                           for m in json.loads(trace(stack, packet).stdout)), 'nginx has written the requests, with their ids')
    by_claim = json.loads(trace(stack, claims[1]['claim_no'], '--no-logs').stdout)
    assert [m for m in story if m['kind'] != 'log'] == by_claim


def test_logs_are_read_where_systemd_and_logrotate_have_them(stack, tmp_path):
    """An installation's: the programs' lines in the journal, nginx's of yesterday and before in rotated files."""
    log = stack.folder / 'log/nginx-tried'
    log.mkdir()
    journalctl = tmp_path / 'journalctl'
    number = stack.open_packet(1001, 1000, 2)
    line = lambda event: json.dumps({'ts': '2026-01-01T00:00:00.000Z', 'level': 'warn', 'program': 'tried', 'event': event, 'order_no': int(number)})  # noqa: E731
    journalctl.write_text(f"#!/bin/sh\n[ \"$*\" = \"-q -r -o cat --since=-14d -u hongbao-*\" ] && echo 'Started it.' && echo '{line('in.the.journal')}'\n")
    journalctl.chmod(0o755)
    (log / 'access.json.1').write_text(line('of.yesterday') + '\n')
    with gzip.open(log / 'access.json.2.gz', 'wt') as f:
        f.write(line('of.the.day.before') + '\n')
    try:
        done = subprocess.run([os.path.join(os.environ.get('HB_TEST_BUILD', hb.ROOT / 'build/default'), 'hbctl'), '-o', 'json', 'trace', str(number)], capture_output=True, text=True,
                              env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'HB_CONFIG': str(stack.folder / 'etc/hongbao.cfg'),
                                   'HB_STATE': str(stack.folder), 'HB_SHARE': str(hb.ROOT)})
    finally:
        shutil.rmtree(log)
    assert done.returncode == 0, done
    assert sorted(m['state'] for m in json.loads(done.stdout) if m['detail'].startswith('tried ')) == ['in.the.journal', 'of.the.day.before', 'of.yesterday']


def test_what_is_not_there(stack):
    assert trace(stack, 999999999001, '--no-logs').returncode == 1
    assert trace(stack, 'x').returncode == 2


def lines_with(stack, text):
    """The logs' lines of JSON that hold a text, as (program, cell, event) and the whole."""
    out = []
    for path in [*stack.folder.glob('log/*/current'), *stack.folder.glob('log/nginx*/*.json')]:
        for line in path.read_text(errors='replace').splitlines():
            if text in line and line.startswith('{'):
                row = json.loads(line)
                out.append(((row['program'], row.get('cell'), row['event']), row))
    return out


def story(stack, what):
    done = trace(stack, what)
    assert done.returncode in (0, 1), done
    return json.loads(done.stdout) if done.returncode == 0 else []


def test_one_traceparent_goes_through_both_cells_to_finance_and_back(stack):
    trace_id = os.urandom(16).hex()
    headers = {'traceparent': f'00-{trace_id}-{os.urandom(8).hex()}-01'}
    body = {'kind': 'c2c', 'split': 'lucky', 'total': {'amount': 1000, 'currency': 'CNY'}, 'count': 2}
    made = stack.call('POST', '/v1/packets', 1001, body, headers={**headers, 'Idempotency-Key': os.urandom(12).hex()})
    assert made.status == 201 and made.headers['traceparent'] == headers['traceparent'], made
    packet, order = made.json['packet']['id'], made.json['payment']['order_no']
    stack.pay(made.json['payment']['cashier_url'])  # the payer's own request: finance goes on with the order's trace
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet is open')
    claims = {}
    for uid in (1002, 1502):
        answer = stack.wait(lambda uid=uid: (a := stack.claim(uid, packet, headers=headers)).status == 200 and a, 'the claim is answered')
        claims[uid] = answer.json['claim']['claim_no']
    for uid in claims:
        stack.wait(lambda uid=uid: stack.claim(uid, packet).json['claim']['transfer_state'] == 'done', 'it is paid')
    wanted = {('nginx', None, 'http.request'), ('hb-core', 'A', 'http.answered'), ('hb-core', 'A', 'packet.sent'), ('hb-finance-sim', None, 'http.answered'),
              ('hb-finance-sim', None, 'notify.taken'), ('hb-worker-callback', 'A', 'message.done'), ('hb-worker-transfer', 'A', 'message.done'),
              ('hb-worker-inbox', 'A', 'message.done'), ('hb-worker-inbox', 'B', 'message.done')}
    requests = ('POST /finance/v1/transfers ', f'POST /v1/callbacks/finance/{order} ')  # the transfer worker told finance, finance told us

    def all_told():  # nginx keeps its lines for a second
        found = lines_with(stack, trace_id)
        asked = [row['request'] for key, row in found if key[0] == 'nginx']
        return found if wanted <= {key for key, _ in found} and all(any(a.startswith(r) for a in asked) for r in requests) else None

    found = stack.wait(all_told, f'all of {wanted} have told of it, and nginx of {requests}', pause=0.3)
    assert all(row['trace_id'] == trace_id for _, row in found)
    assert {str(row['order_no']) for key, row in found if key[2] == 'message.done'} == {order, *claims.values()}
    with stack.finance_db() as db:
        assert [t for t, in db.execute('SELECT traceparent FROM traces WHERE order_no = ?', (order,))] == [headers['traceparent']]
    told = story(stack, trace_id)
    assert {m['number'] for m in told if m['kind'] == 'claim'} == set(claims.values())
    assert {'packet', 'payment', 'transfer', 'callback', 'received', 'log'} <= {m['kind'] for m in told}
    for word in ('nginx POST /v1/packets ', 'hb-core ', 'hb-worker-inbox B.inbox', 'hb-finance-sim '):
        assert any(m['kind'] == 'log' and m['detail'].startswith(word) for m in told), word
    assert len(story(stack, headers['traceparent'])) >= len(told)


@pytest.mark.parametrize('uid', [24091, 24591])
def test_a_win_of_the_rain_is_followed_to_its_record(stack, uid):
    campaign = b2c.Campaign(stack, leased=0, prize=100)
    stack.wait(lambda: stack.call('GET', f'/v1/rain/{campaign.name}', uid).status == 200, 'hb-rain knows the campaign')
    trace_id = os.urandom(16).hex()
    drawn = stack.call('POST', f'/v1/rain/{campaign.name}/draw', uid, headers={'traceparent': f'00-{trace_id}-{os.urandom(8).hex()}-01'}).json
    assert drawn['outcome'] == 'won', drawn
    number = drawn['subsidy']['subsidy_id']

    def recorded():
        return [row for key, row in lines_with(stack, trace_id) if key == ('hb-worker-subsidy', stack.cell_of(uid), 'message.done')]

    row, = stack.wait(recorded, 'the worker has told of it')
    assert str(row['order_no']) == number
    assert [m['number'] for m in story(stack, trace_id) if m['kind'] == 'subsidy'] == [number]


def test_a_request_id_leads_to_its_envelope_also_when_nobody_follows_it(stack):
    malformed = '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01'
    body = {'kind': 'c2c', 'split': 'equal', 'total': {'amount': 300, 'currency': 'CNY'}, 'count': 3}
    made = stack.call('POST', '/v1/packets', 1001, body, headers={'traceparent': malformed, 'Idempotency-Key': os.urandom(12).hex()})
    request = made.headers['x-request-id']
    assert made.status == 201 and re.fullmatch(f'00-{request}-{request[:16]}-00', made.headers['traceparent']), made.headers
    told = stack.wait(lambda: (s := story(stack, request)) and any(m['detail'].startswith('nginx ') for m in s) and s, 'nginx has written the request')
    assert [m['number'] for m in told if m['kind'] == 'packet'] == [made.json['packet']['id']]
    assert [key for key, _ in lines_with(stack, request) if key[0].startswith('hb-')] == [('hb-core', 'A', 'packet.sent')]
    stack.pay(made.json['payment']['cashier_url'])
    stack.wait(lambda: stack.packet_state(made.json['packet']['id']) == 2, 'the packet is open')
    assert story(stack, os.urandom(16).hex()) == []


def secret_words(stack):
    for path in (stack.folder / 'secrets').iterdir():
        for line in path.read_text().splitlines():
            yield line.split()[1] if path.suffix == '.keys' else line


def test_no_log_of_a_whole_scenario_holds_a_secret_and_each_line_is_whole(stack):
    uids = (1391, 1392, 1891)
    tokens = [stack.call('POST', '/v1/demo/login', body={'uid': str(uid)}).json['token'] for uid in uids]
    followed = {'traceparent': f'00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01'}
    body = {'kind': 'c2c', 'split': 'lucky', 'total': {'amount': 900, 'currency': 'CNY'}, 'count': 2}
    made = stack.http.call('POST', '/v1/packets', body, tokens[0], {**followed, 'Idempotency-Key': os.urandom(12).hex()})
    assert made.status == 201, made
    packet, cashier = made.json['packet']['id'], made.json['payment']['cashier_url']
    stack.pay(cashier)
    stack.wait(lambda: stack.packet_state(packet) == 2, 'the packet is open')
    cookie = {'Cookie': f'hb_session={tokens[1]}', 'Origin': stack.front, 'X-Hb-Csrf': '1', **followed}
    assert stack.http.call('POST', f'/v1/packets/{packet}/claim', headers=cookie).json['outcome'] == 'claimed'
    assert stack.http.call('POST', f'/v1/packets/{packet}/claim', token=tokens[2], headers=followed).json['outcome'] == 'claimed'
    assert stack.http.call('GET', '/v1/me/received?limit=1', token=tokens[1], headers=followed).status == 200
    refused = stack.http.call('POST', '/v1/packets', body, tokens[0] + 'x', {**followed, 'Idempotency-Key': os.urandom(12).hex()})
    assert refused.status == 401, refused
    marks = [followed['traceparent'].split('-')[1]]
    stack.wait(lambda: ('hb-worker-inbox', 'B', 'message.done') in [key for key, _ in lines_with(stack, marks[0])], 'the claim has come to its user\'s cell', pause=0.3)
    time.sleep(1.2)  # nginx keeps its lines for a second
    words = {word for word in [*secret_words(stack), *tokens, cashier.split('?')[1]] if len(word) >= 8}
    forms = re.compile(r'hb1\.\d+\.\d+\.|hbs1\.|v1 hongbao \d{9,}|Bearer [^"\\ ]{20}|hb_session=')
    checked = 0
    for path in [p for p in (stack.folder / 'log').glob('*/*') if p.is_file()]:
        text = path.read_text(errors='replace')
        assert not [word for word in words if word in text], path
        assert not forms.search(text), (path, forms.search(text))
        for line in text.splitlines():
            ours = re.match(r'\{"ts":"([^"]*)","level":"(?:debug|info|warn|error)","program":"([^"]*)"', line)
            assert ours or not line.startswith('{"ts"'), (path, line)
            if not ours:
                continue
            row = json.loads(line)
            checked += 1
            assert re.fullmatch(r'20\d\d-\d\d-\d\dT[0-9:.]{8,12}(Z|[+-]\d\d:\d\d)', row['ts']) and row['event'], line
            if row['program'] == 'nginx':
                assert re.fullmatch('[0-9a-f]{32}', row['request_id']) and re.fullmatch('[0-9a-f]{32}', row['trace_id']), line
            elif row['program'] not in ('hb-finance-sim', 'hbctl'):
                assert row['cell'] in stack.cells and isinstance(row['instance'], int) and row.get('epoch', 1) > 0, line
            if 'request_id' in row:
                assert re.fullmatch('[0-9a-f]{32}', row['trace_id']), line
    assert checked > 100
    serving = [row for key, row in lines_with(stack, marks[0]) if key[0].startswith('hb-') and key[0] != 'hb-finance-sim']
    assert serving and all(row['epoch'] >= 1 for row in serving)
