"""Operators switch features down: through the front door, each flag does what it says and nothing else."""
import json
import os
import subprocess

import flag_edits
import hb
import pytest


@pytest.fixture
def flags(stack):
    """flags('set', 'claim', 'off'): at every site; cleared after the test."""
    def hbctl(*words):
        return subprocess.run([hb.ROOT / 'dev', 'hbctl', '-o', 'json', 'flags', *words], env={**os.environ, 'HB_NAME': stack.folder.name},
                              capture_output=True, text=True)

    def checked(verb, *words, code=0):
        done = hbctl(verb, *words, *(['--reason', 'a test'] if verb in ('set', 'clear') else []))
        assert done.returncode == code, done
        return done
    before = {f: f.read_text() for f in (stack.folder / 'live').glob('*/flags.cfg')}
    yield checked
    for f, text in before.items():
        flag_edits.renamed(f, text)
    stack.wait(lambda: not any(f['off_in'] for site in json.loads(hbctl('list').stdout) for f in site['flags']), 'nothing is switched down')


def degraded(answer):
    assert (answer.status, answer.code) == (503, 'FEATURE_DEGRADED'), answer
    assert answer.json['user_message'] and answer.headers['retry-after']


def test_c2c_down_leaves_what_is_sent_and_b2c_untouched(stack, flags):
    packet = stack.open_packet(1001, 1000, 5)
    flags('set', 'c2c_send', 'off')
    for uid in (1001, 1501):
        degraded(stack.send(uid, 100, 1))
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    body = {'kind': 'b2c', 'split': 'lucky', 'count': 1, 'subsidy_id': '1001'}
    answer = stack.call('POST', '/v1/packets', 1001, body, headers={'Idempotency-Key': os.urandom(12).hex()})
    assert answer.code != 'FEATURE_DEGRADED' and answer.status in (404, 422), answer
    english = stack.call('POST', '/v1/packets', 1001, {'kind': 'c2c', 'split': 'lucky', 'count': 1, 'total': {'amount': 100, 'currency': 'CNY'}},
                         headers={'Idempotency-Key': os.urandom(12).hex(), 'Accept-Language': 'en'})
    assert 'short rest' in english.json['user_message'], english
    flags('set', 'b2c_send', 'off')
    flags('clear', 'c2c_send')
    degraded(stack.call('POST', '/v1/packets', 1001, body, headers={'Idempotency-Key': os.urandom(12).hex()}))
    assert stack.send(1001, 100, 1).status == 201


def test_a_refused_send_left_nothing_and_its_repeat_is_the_first(stack, flags):
    key = os.urandom(12).hex()
    flags('set', 'c2c_send', 'off')
    degraded(stack.send(1001, 300, 3, key=key))
    flags('clear', 'c2c_send')
    again = stack.send(1001, 300, 3, key=key)
    assert again.status == 201 and again.headers.get('idempotent-replayed') != 'true', again


def test_claims_withdrawals_and_the_rain_are_refused_at_the_gate(stack, flags):
    packet = stack.open_packet(1001, 1000, 5)
    for flag in ('claim', 'withdraw', 'rain'):
        flags('set', flag, 'off')
    degraded(stack.claim(1002, packet))
    degraded(stack.withdraw(1002, 100))
    degraded(stack.call('GET', '/v1/rain', 1002))
    assert stack.call('GET', f'/v1/packets/{packet}', 1002).status == 200
    assert stack.call('GET', '/v1/me/wallet', 1002).status == 200
    for flag in ('claim', 'withdraw', 'rain'):
        flags('clear', flag)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_extra_features_answer_less_and_never_an_error(stack, flags):
    packet = stack.open_packet(1001, 1000, 2)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    paths = {'claim_details': f'/v1/packets/{packet}/claims', 'received_list': '/v1/me/received', 'token_list': '/v1/me/subsidies',
             'fairness': f'/v1/packets/{packet}/fairness'}
    for flag, path in paths.items():
        full = stack.call('GET', path, 1002)
        flags('set', flag, 'off')
        less = stack.call('GET', path, 1002)
        assert less.status == 200 and less.json['degraded'] == [flag], less
        assert less.json.get('data', []) == []
        flags('clear', flag)
        back = stack.call('GET', path, 1002)
        assert back.json.get('degraded', []) == full.json.get('degraded', []) and back.json.get('data') == full.json.get('data')


def test_transfers_wait_in_their_queue_while_claims_go_on(stack, flags):
    packet = stack.open_packet(1001, 1000, 3)
    flags('set', 'transfer_async', 'off')
    claim = stack.claim_until(1002, packet).json['claim']
    stack.wait(lambda: not stack.rows('A', 'SELECT 1 FROM outbox'), 'the relay has published')
    assert not stack.rows('A', 'SELECT 1 FROM transfer WHERE order_no = %s', (claim['claim_no'],))
    assert stack.claim_until(1003, packet).json['outcome'] == 'claimed'
    flags('set', 'transfer_async', 'off', '--percent', '50', code=4)  # a queue is held or not
    flags('clear', 'transfer_async')
    stack.wait(lambda: stack.claim(1002, packet).json['claim']['transfer_state'] == 'done', 'it is paid')


def test_percent_cells_and_expiry(stack, flags):
    flags('set', 'c2c_send', 'off', '--percent', '50', '--cells', 'A')
    uids = range(1001, 1041)
    first = [stack.send(uid, 100, 1).status for uid in uids]
    assert 5 < first.count(503) < 35 and set(first) == {201, 503}, first
    assert [stack.send(uid, 100, 1).status for uid in uids] == first, 'the same users'
    assert all(stack.send(uid, 100, 1).status == 201 for uid in range(1501, 1511)), 'cell B is not meant'
    flags('set', 'c2c_send', 'off', '--ttl', '2s')
    assert stack.send(1001, 100, 1).status == 503
    stack.wait(lambda: stack.send(1001, 100, 1).status == 201, 'it has expired by itself', seconds=10)
    assert 'default (expired)' in subprocess.run([hb.ROOT / 'dev', 'hbctl', 'flags', 'list'], env={**os.environ, 'HB_NAME': stack.folder.name},
                                                 capture_output=True, text=True, check=True).stdout


def test_mistakes_of_operators(stack, flags):
    flags('set', 'c2c_sent', 'off', code=2)
    flags('set', 'claim', 'maybe', code=2)
    flags('set', 'claim', 'off', '--ttl', '5 minutes', code=2)
    flags('set', 'claim', 'off', '--cells', 'Z', code=2)
    flags('set', 'claim', 'off', '--interface', 'rain', code=2)
    path = stack.folder / 'live/west/flags.cfg'
    flag_edits.renamed(path, 'claim = {')
    refused = flags('set', 'fairness', 'off', code=4)
    assert 'site west: mend the file first' in refused.stderr and 'line 1: syntax error' in refused.stderr, refused.stderr
    listed = flags('list', code=1)
    assert 'site west' in listed.stderr and 'syntax error' in listed.stderr
    flags('check', str(path), code=1)


def test_thirty_edits_under_load(stack):
    print(flag_edits.campaign(stack, 30, 7))
