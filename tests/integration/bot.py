"""A webhook receiver in the place of the bot that alerts go to, and hbctl as a person runs it."""
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hb
import pytest


class Told(list):
    """The texts that the bot was told, and when."""

    def __init__(self):
        super().__init__()
        self.at = []

    def hear(self, text):
        self.at.append(time.monotonic())
        self.append(text)


@pytest.fixture
def bot_every(stack):
    """bot_every(ms): cell A's alerts go to a bot, with this alert.every_ms; the texts that it is told."""
    told = Told()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
            assert body['msg_type'] == 'text', body
            told.hear(body['content']['text'])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"code":0,"msg":"success"}')

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = stack.folder / 'etc/hongbao.cfg'
    before = config.read_text()

    def start(every_ms):
        config.write_text(before + f'\nalert: {{ url = "http://127.0.0.1:{server.server_port}/hook"; every_ms = {every_ms}; }};\n')
        stack.rows('A', 'UPDATE alert SET sent_at = 1 WHERE sent_at IS NULL')  # what other tests have left
        stack.sv('restart', 'A-worker-alert')
        return told

    yield start
    config.write_text(before)
    stack.sv('restart', 'A-worker-alert')
    server.shutdown()


@pytest.fixture
def bot(bot_every):
    return bot_every(500)


def hbctl(stack, *words):
    done = subprocess.run([hb.ROOT / 'dev', 'hbctl', '-o', 'json', *words], capture_output=True, text=True,
                          env={**os.environ, 'HB_NAME': stack.folder.name, 'HB_BUILD': os.environ.get('HB_TEST_BUILD', '')})
    return done.returncode, done.stdout, done.stderr


def parked(stack, text):
    """The parked messages of cell A that this stands in."""
    code, out, err = hbctl(stack, 'orders', 'parked', 'A')
    assert code == 0, err
    return [m for m in json.loads(out) if text in m['body']]
