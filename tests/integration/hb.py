"""What the integration tests know of a running stack: its addresses, databases, services, and a small HTTP client.

Nothing here knows how the programs work inside; money is checked by audit.py from the tables and finance's own file."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pymysql

ROOT = Path(__file__).resolve().parents[2]
# Programs built with sanitizers are slower: what a test grants them in time is multiplied by this.
SLOW = float(os.environ.get('HB_SLOW', '1'))


def parse_libconfig(text):
    """The part of libconfig that our files use: groups, lists, arrays, strings, integers, booleans."""
    text = re.sub(r'("(?:\\.|[^"\\])*")|(?:#|//)[^\n]*|/\*.*?\*/', lambda m: m[1] or ' ', text, flags=re.S)
    tokens = re.findall(r'"(?:\\.|[^"\\])*"|[{}()\[\];,=:]|[^\s{}()\[\];,=:"]+', text)
    at = 0

    def value():
        nonlocal at
        token = tokens[at]
        at += 1
        if token == '{':
            group = settings('}')
            at += 1
            return group
        if token in '([':
            items = []
            while tokens[at] not in ')]':
                items.append(value())
                if tokens[at] == ',':
                    at += 1
            at += 1
            return items
        if token[0] == '"':
            return json.loads(token)
        if token.lower() in ('true', 'false'):
            return token.lower() == 'true'
        return int(token.rstrip('L'))

    def settings(end):
        nonlocal at
        group = {}
        while at < len(tokens) and tokens[at] != end:
            name = tokens[at]
            at += 2
            group[name] = value()
            if at < len(tokens) and tokens[at] in ';,':
                at += 1
        return group

    return settings(None)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json.get('code') if self.body else None

    def __repr__(self):
        return f'<{self.status} {self.body[:300]!r}>'


class Client:
    """HTTP over keep-alive connections, one per thread."""

    def __init__(self, url, source=None):
        """`source`: the address that it calls from."""
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.local, self.source = parts.hostname, parts.port, threading.local(), source and (source, 0)

    def call(self, method, path, body=None, token=None, headers=None, raw=None, timeout=30 * SLOW):
        send = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            send.setdefault('Content-Type', 'application/json')
        if token:
            send['Authorization'] = f'Bearer {token}'
        fresh = getattr(self.local, 'connection', None) is None
        while True:
            if fresh:
                self.local.connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout, source_address=self.source)
            connection = self.local.connection
            try:
                connection.request(method, path, body=data, headers=send)
                answer = connection.getresponse()
                return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                connection.close()
                self.local.connection = None
                if fresh:
                    raise
                fresh = True  # an idle connection that nginx had closed meanwhile
            except Exception:
                connection.close()
                self.local.connection = None
                raise


class Stack:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.topology = parse_libconfig((self.folder / 'etc/topology.cfg').read_text())
        self.doors = self.topology['nginx']
        nginx = self.doors[0]
        self.front = f'http://{nginx["host"]}:{nginx["front_port"]}'
        self.ops = f'http://{nginx["host"]}:{nginx["ops_port"]}'
        self.finance = f'http://{nginx["host"]}:{nginx["finance_port"]}'
        self.http, self.ops_http, self.finance_http = Client(self.front), Client(self.ops), Client(self.finance)
        self.cells = {c['name']: c for c in self.topology['cells']}
        self.tokens = {}

    # ---- the product, as a user sees it ----
    def call(self, method, path, uid=None, body=None, **more):
        return self.http.call(method, path, body=body, token=self.token(uid) if uid else None, **more)

    def token(self, uid):
        if uid not in self.tokens:
            answer = self.http.call('POST', '/v1/demo/login', {'uid': str(uid)})
            assert answer.status == 200, answer
            self.tokens[uid] = answer.json['token']
        return self.tokens[uid]

    def mint(self, uid, expires=None):
        """A token without a request, as whoever runs the login makes it."""
        kid, key = (self.folder / 'secrets/session.keys').read_text().split()[:2]
        text = f'hb1.{uid}.{int(expires or time.time() + 3600)}.{kid}'
        mac = hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).digest()
        return f'{text}.{base64.urlsafe_b64encode(mac).rstrip(b"=").decode()}'

    def mint_all(self, uids):
        for uid in uids:
            self.tokens.setdefault(uid, self.mint(uid))

    def grant(self, viewer, sender, relation, expires=None):
        kid, key = (self.folder / 'secrets/grant.keys').read_text().split()[:2]
        text = f'hbg1.{viewer}.{sender}.{relation}.{int(expires or time.time() + 3600)}.{kid}'
        mac = hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).digest()
        return f'{text}.{base64.urlsafe_b64encode(mac).rstrip(b"=").decode()}'

    def send(self, uid, total=10000, count=10, split='lucky', key=None, **more):
        body = {'kind': 'c2c', 'split': split, 'total': {'amount': total, 'currency': 'CNY'}, 'count': count, **more}
        return self.call('POST', '/v1/packets', uid, body, headers={'Idempotency-Key': key or os.urandom(12).hex()})

    def pay(self, cashier_url):
        parts = urllib.parse.urlsplit(cashier_url)
        answer = self.finance_http.call('POST', f'{parts.path}/pay?{parts.query}', raw=b'',
                                        headers={'Content-Type': 'application/x-www-form-urlencoded'})
        assert answer.status in (200, 303), answer

    def open_packet(self, uid, total=10000, count=10, **more):
        """Sends, pays and waits until the packet is open; returns its id."""
        made = self.send(uid, total, count, **more)
        assert made.status == 201, made
        self.pay(made.json['payment']['cashier_url'])
        packet = made.json['packet']['id']
        self.wait(lambda: self.packet_state(packet) != 1, 'the packet opens')
        return packet

    def withdraw(self, uid, fen, key=None, **more):
        return self.call('POST', '/v1/me/withdrawals', uid, {'amount': {'amount': fen, 'currency': 'CNY'}},
                         headers={'Idempotency-Key': key or os.urandom(12).hex()}, **more)

    def balance(self, uid):
        rows = self.rows(self.cell_of(uid), 'SELECT balance FROM account WHERE kind = 1 AND owner = %s', (uid,))
        return rows[0][0] if rows else 0

    def claim(self, uid, packet, body=None, **more):
        return self.call('POST', f'/v1/packets/{packet}/claim', uid, body, **more)

    def claim_until(self, uid, packet, seconds=60):
        """Repeats while told to, as the page does; the last answer."""
        end = time.monotonic() + seconds * SLOW
        while True:
            try:
                answer = self.claim(uid, packet)
                if answer.status == 200 or not answer.json.get('retryable') or time.monotonic() > end:
                    return answer
                time.sleep(answer.json.get('retry_after_ms', 100) / 1000)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    # ---- what is behind ----
    def cell_of(self, number):
        slot = int(number) % 1000
        for cell in self.cells.values():
            for part in cell['slots'].split(','):
                low, _, high = part.partition('-')
                if int(low) <= slot <= int(high or low):
                    return cell['name']
        raise AssertionError(f'no cell owns slot {slot}')

    def active(self, cell):
        """Where the newest go-live file says that the cell is."""
        lives = [parse_libconfig(f.read_text()) for f in self.folder.glob(f'live/*/{cell}.cfg')]
        return max(lives, key=lambda live: live['epoch'])['primary']

    def member(self, cell, site=None):
        return next(m for m in self.cells[cell]['members'] if m['site'] == (site or self.active(cell)))

    def db(self, cell, site=None):
        password = (self.folder / 'secrets/db.hb_ctl').read_text().strip()
        member = self.member(cell, site)
        return pymysql.connect(host=member['host'], port=member['mysql_port'], user='hb_ctl', password=password,
                               database='hongbao', autocommit=True, read_timeout=30, write_timeout=30)

    def rows(self, cell, sql, args=()):
        with self.db(cell) as db, db.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    def packet_state(self, packet):
        return self.rows(self.cell_of(packet), 'SELECT state FROM packet WHERE packet_id = %s', (packet,))[0][0]

    def finance_db(self):
        return sqlite3.connect(f'file:{self.folder}/data/finance/finance.sqlite?mode=ro', uri=True)

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels."""
        text = self.ops_http.call('GET', '/metrics').body.decode()
        total = 0.0
        for line in text.splitlines():
            m = re.match(rf'{name}(?:\{{(.*)\}})? (\S+)$', line)
            if m and all(f'{k}="{v}"' in (m[1] or '') for k, v in labels.items()):
                total += float(m[2])
        return total

    # ---- services: "A-core-1-west", or "A-core-1" for the one where cell A is active; "nginx", "etcd", "rabbitmq": the first ----
    def service(self, name):
        if (self.folder / 'sv' / name).exists():
            return self.folder / 'sv' / name
        return self.folder / 'sv' / f'{name}-{self.active(name[0]) if name[0] in self.cells else self.doors[0]["site"]}'

    def sv(self, command, service):
        done = subprocess.run(['sv', '-w', str(round(30 * SLOW)), command, str(self.service(service))], capture_output=True, text=True)
        if done.returncode:
            log = self.folder / 'log' / self.service(service).name / 'current'
            raise AssertionError(f'sv {command} {service}: {done.stdout}{done.stderr}its log: {log.read_text(errors="replace")[-3000:]}')
        return done.stdout

    def pid(self, service):
        text = (self.service(service) / 'supervise/pid').read_text().strip()
        return int(text) if text else None

    def kill(self, service, sig=signal.SIGKILL):
        pid = self.pid(service)
        assert pid, f'{service} does not run'
        os.kill(pid, sig)
        return pid

    def wait(self, predicate, what, seconds=30, pause=0.05):
        end = time.monotonic() + seconds * SLOW
        while True:
            value = predicate()
            if value:
                return value
            assert time.monotonic() < end, f'waited {seconds * SLOW:g} s in vain until {what}'
            time.sleep(pause)


def left(stack, cell, there=()):
    """The packets of a cell that have left and are not `there`, as rows of (packet, sender, state, None, None, total, remaining, kind)."""
    return {r[0]: r for r in stack.rows(cell, 'SELECT packet_id, sender, state, NULL, NULL, total, remaining, kind FROM packet_left') if r[0] not in there}


def listens(port, host='127.0.0.1'):
    with socket.socket() as s:
        return s.connect_ex((host, port)) == 0


def fastcgi(port, params, body=b'', timeout=10 * SLOW, host='127.0.0.1'):
    """One FastCGI request straight to a program, past nginx; the raw answer (headers and body)."""
    def pair(name, value):
        name, value = name.encode(), value.encode()
        length = b''.join(bytes([len(x)]) if len(x) < 128 else struct.pack('>I', len(x) | 1 << 31) for x in (name, value))
        return length + name + value

    def record(kind, content):
        return struct.pack('>BBHHBB', 1, kind, 1, len(content), 0, 0) + content

    message = record(1, struct.pack('>HB5x', 1, 0)) + record(4, b''.join(pair(k, v) for k, v in params.items())) + record(4, b'')
    message += (record(5, body) if body else b'') + record(5, b'')
    out = b''
    with socket.create_connection((host, port), timeout=timeout) as s:
        s.sendall(message)
        stream = s.makefile('rb')
        while True:
            head = stream.read(8)
            if len(head) < 8:
                break
            _, kind, _, length, padding, _ = struct.unpack('>BBHHBB', head)
            content = stream.read(length)
            stream.read(padding)
            if kind == 6:
                out += content
            if kind == 3:
                break
    return out
