"""Each breaker opens when its dependency is gone, is seen beside the flags, and lets calls through again by and by."""
import json
import os
import signal
import subprocess
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import hb
import pytest


def flags(stack, *words):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', *words], env={**os.environ, 'HB_NAME': stack.folder.name}, capture_output=True, text=True, check=True).stdout


def shown(stack, dependency, site):
    says = {s['site']: s for s in json.loads(flags(stack, '-o', 'json', 'flags', 'list'))}
    return next(b for b in says[site]['breakers'] if b['dependency'] == dependency)


def who_wins(stack, flag, site):
    return next(line for line in flags(stack, 'flags', 'list').splitlines() if line.split()[:2] == [flag, site])


def is_open(stack, dependency, **who):
    return stack.metric('hb_breaker_open', dependency=dependency, cell='A', **who)


def held_percent(stack, dependency, **who):
    return stack.metric('hb_breaker_held_percent', dependency=dependency, cell='A', **who)


@pytest.fixture
def cache_paused(stack):
    """Cell A's memcached takes connections and answers nothing."""
    stack.kill('A-cache', signal.SIGSTOP)
    yield
    stack.kill('A-cache', signal.SIGCONT)


def listed(stack):
    before = time.monotonic()
    answer = stack.call('GET', '/v1/me/subsidies', 1001)
    assert answer.status == 200, answer
    return answer.json['degraded'], time.monotonic() - before


def test_token_list_and_memcached_left_alone_and_taken_back_by_and_by(stack, cache_paused):
    site, query = stack.active('A'), {'program': 'hb-query'}
    stack.wait(lambda: listed(stack)[0] == ['token_list'] and is_open(stack, 'token_list', **query), 'the token list is left alone')
    stack.wait(lambda: is_open(stack, 'memcached', program='hb-rain'), 'hb-rain leaves memcached alone')
    took = sorted(listed(stack)[1] for _ in range(20))
    print('while open: median', took[10], 'slowest', took[-1])
    assert took[10] < 0.03 * hb.SLOW, 'nothing waits for its time-out'
    stack.wait(lambda: listed(stack) and shown(stack, 'token_list', site)['open_in'] >= 1, 'hbctl shows it')
    line = stack.wait(lambda: listed(stack) and (t := who_wins(stack, 'token_list', site)) and ' breaker ' in t and t, 'hbctl says who wins')
    print(line)
    try:  # a person's word goes first: the list is asked although the breaker would not
        flags(stack, 'flags', 'set', 'token_list', 'on', '--reason', 'a test')
        assert ' manual ' in who_wins(stack, 'token_list', site)
        held = stack.metric('hb_breaker_held_total', dependency='token_list')
        for _ in range(20):
            assert listed(stack)[0] == ['token_list']
        assert stack.metric('hb_breaker_held_total', dependency='token_list') == held
    finally:
        flags(stack, 'flags', 'clear', 'token_list', '--reason', 'a test')
    stack.kill('A-cache', signal.SIGCONT)
    seen = set()

    def back():
        answer = listed(stack)[0]
        seen.add(held_percent(stack, 'token_list', **query))
        return answer == [] and not held_percent(stack, 'token_list') and not held_percent(stack, 'memcached')
    stack.wait(back, 'both are as they were', pause=0.01)
    print('held back on the way:', sorted(seen))
    assert any(0 < percent < 100 for percent in seen), 'the share grew step by step'
    assert ' default ' in who_wins(stack, 'token_list', site)


def receiver(port):
    """A webhook in a process of its own, that can be killed; the texts go to its standard output."""
    pid = os.fork()
    if pid:
        return pid

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers['Content-Length']))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"code":0}')

        def log_message(self, *_):
            pass
    HTTPServer(('127.0.0.1', port), Hook).serve_forever()
    os._exit(0)


@pytest.fixture
def webhook(stack):
    """(kill, start) of the receiver that cell A's alerts go to."""
    with HTTPServer(('127.0.0.1', 0), BaseHTTPRequestHandler) as free:
        port = free.server_port
    config = stack.folder / 'etc/hongbao.cfg'
    before, running = config.read_text(), []

    def start():
        running.append(receiver(port))
        stack.wait(lambda: hb.listens(port), 'the webhook listens')

    def kill():
        pid = running.pop()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    start()
    config.write_text(before + f'\nalert: {{ url = "http://127.0.0.1:{port}/hook"; every_ms = 100; }};\n')
    stack.rows('A', 'UPDATE alert SET sent_at = 1 WHERE sent_at IS NULL')  # what other tests have left
    stack.sv('restart', 'A-worker-alert')
    yield kill, start
    if running:
        kill()
    config.write_text(before)
    stack.sv('restart', 'A-worker-alert')
    stack.rows('A', 'DELETE FROM alert WHERE subject LIKE %s', ('breaker %',))


def test_webhook_left_alone_and_tried_again_and_no_alert_is_lost(stack, webhook):
    kill, start = webhook

    def alert(name):
        stack.rows('A', 'INSERT INTO alert (kind, subject, text, created_at) VALUES (2, %s, %s, 1)', (f'breaker {name}', f'breaker {name}'))

    def sent():
        return stack.rows('A', 'SELECT COUNT(*) FROM alert WHERE subject LIKE %s AND sent_at IS NOT NULL', ('breaker %',))[0][0]
    alert('one')
    stack.wait(lambda: sent() == 1, 'the first is told')
    kill()
    failed = stack.metric('hb_alerts_total', cell='A', result='failed')
    alert('two')
    stack.wait(lambda: is_open(stack, 'webhook'), 'the webhook is left alone')
    stack.wait(lambda: stack.metric('hb_alerts_total', cell='A', result='failed') == failed + 3, 'as many failed as breaker.webhook_min_calls says')
    held = stack.metric('hb_breaker_held_total', dependency='webhook')
    stack.wait(lambda: stack.metric('hb_breaker_held_total', dependency='webhook') > held, 'calls are held back')
    alert('three')
    assert sent() == 1
    start()
    stack.wait(lambda: sent() == 3, 'both are told once it is tried again')
    assert not is_open(stack, 'webhook') and not held_percent(stack, 'webhook')
