"""The database hangs, hangs at COMMIT, or drops its connections while a crowd claims, and hb-core ends in the middle: nobody told
"claimed" is missing, nobody refused has a share, the sums are exact, and the same users asking again get the same."""
import random
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import audit
import hb
import pymysql
import pytest

CELL = 'A'
CORES = ('A-core-1', 'A-core-2')
REPLICAS = ('A-db-west', 'A-db-north')
# db.connect_ms + db.io_ms + claim.unknown_ms, with something over: whoever waits has given up by then.
ALL_TIME_OUTS_S = 12
IO_S = 5
# Two hb-core of two executors, each with one connection whose COMMIT hangs and one that asks again, beside their pools.
CONNECTIONS_MAX = 2 * (2 * 2 + 12 + 1)


def sessions(stack):
    """The sessions of hb-core at the primary, as (id, statement). Through the extra port, which no crowd can clog."""
    password = (stack.folder / 'secrets/db.hb_ctl').read_text().strip()
    port = stack.member(CELL)['mysql_port'] + 1
    with pymysql.connect(host='127.0.0.1', port=port, user='hb_ctl', password=password, autocommit=True) as db, db.cursor() as cursor:
        cursor.execute('SHOW PROCESSLIST')
        return [(r[0], r[7]) for r in cursor.fetchall() if r[1] == 'hb_core']


def committing(stack):
    return [s for s in sessions(stack) if s[1] == 'COMMIT']


class Crowd:
    """Users on packets of cell A; remembers what each was told."""

    def __init__(self, stack, first_uid, users, packets, shares):
        self.stack = stack
        self.packets = [stack.open_packet(1001 + i, shares * 100, shares) for i in range(packets)]
        self.users = [first_uid + i for i in range(users)]
        stack.mint_all(self.users)
        self.pairs = [(p, u) for u in self.users for p in self.packets]
        self.told = {}

    def learn(self, pair, answer):
        """A claim once told never changes; nobody is told twice that they claimed, or refused after it."""
        if answer.status != 200:
            assert answer.json['retryable'], (pair, answer)
            return
        outcome, claim, before = answer.json['outcome'], answer.json.get('claim'), self.told.get(pair)
        assert outcome in ('claimed', 'already_claimed', 'exhausted'), (pair, answer)
        mine = (claim['claim_no'], claim['amount']['amount'], claim['index']) if claim else None
        assert (outcome == 'exhausted') == (mine is None), (pair, answer)
        if before is not None:
            assert outcome != 'claimed' and before == (mine,), (pair, before, answer)
        self.told[pair] = (mine,)

    def ask_once(self, pair):
        answer = self.stack.claim(pair[1], pair[0])
        self.learn(pair, answer)
        return answer

    def ask_until_told(self, workers=16):
        def one(pair):
            answer = self.stack.claim_until(pair[1], pair[0], 90)
            assert answer.status == 200, (pair, answer)
            self.learn(pair, answer)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, self.pairs))

    def rows(self):
        marks = ','.join(['%s'] * len(self.packets))
        found = self.stack.rows(CELL, f'SELECT packet_id, uid, claim_no, amount, idx FROM claim WHERE packet_id IN ({marks})', self.packets)
        return {(str(p), u): (str(no), amount, idx) for p, u, no, amount, idx in found}

    def check(self):
        assert set(self.told) == set(self.pairs)
        assert self.rows() == {pair: mine for pair, (mine,) in self.told.items() if mine}
        self.stack.wait(lambda: not audit.audit(self.stack, self.packets), 'the books agree', 90, 1)


def test_a_primary_that_stops_past_every_time_out(stack):
    crowd = Crowd(stack, 70000, 12, 4, 10)
    for pair in crowd.pairs[:16]:
        assert crowd.ask_once(pair).status == 200
    stack.kill('A-db-east', signal.SIGSTOP)
    end = time.monotonic() + ALL_TIME_OUTS_S * hb.SLOW
    codes = Counter()

    def keep_asking(pair):
        while time.monotonic() < end:
            answer = crowd.ask_once(pair)
            assert answer.status in (503, 429), answer
            codes[answer.code] += 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(keep_asking, crowd.pairs[16:32]))
    stack.kill('A-db-east', signal.SIGCONT)
    print(codes)
    assert codes['OUTCOME_UNKNOWN'] or codes['CELL_UNAVAILABLE']
    crowd.ask_until_told()
    crowd.check()


@pytest.fixture
def replicas(stack):
    """replicas(False): no replica acknowledges any more, one because it hangs, one because it is gone. They return after the test."""
    def switch(on):
        if on:
            stack.kill(REPLICAS[0], signal.SIGCONT)
            stack.sv('up', REPLICAS[1])
        else:
            stack.kill(REPLICAS[0], signal.SIGSTOP)
            stack.sv('down', REPLICAS[1])

    yield switch
    stack.kill(REPLICAS[0], signal.SIGCONT)
    stack.sv('up', REPLICAS[1])
    stack.wait(lambda: not committing(stack), 'no COMMIT hangs')


def test_without_replicas_commit_hangs_and_connections_stay_bounded(stack, replicas):
    crowd = Crowd(stack, 71000, 10, 8, 8)
    for pair in crowd.pairs[:24]:
        assert crowd.ask_once(pair).status == 200
    replicas(False)
    begun, codes, counted = time.monotonic(), Counter(), []
    end = begun + 5 * IO_S * hb.SLOW
    fresh = [pair for pair in crowd.pairs[24:] if pair not in crowd.told]

    def keep_asking(i):
        rng = random.Random(i)
        while time.monotonic() < end:
            answer = crowd.ask_once(rng.choice(fresh[i::16]))
            assert answer.status in (503, 429), answer
            codes[answer.code] += 1

    def count():
        while time.monotonic() < end:
            counted.append((time.monotonic() - begun, len(sessions(stack))))
            time.sleep(0.3)

    with ThreadPoolExecutor(17) as pool:
        work = [pool.submit(count)] + [pool.submit(keep_asking, i) for i in range(16)]
        for w in work:
            w.result()
    hanging = len(committing(stack))
    early = max(n for at, n in counted if at < 2 * IO_S * hb.SLOW)
    late = max(n for at, n in counted if at >= 2 * IO_S * hb.SLOW)
    print(codes, f'{hanging} commits hang, connections: {early} at most in the first two time-outs, {late} later')
    assert codes['OUTCOME_UNKNOWN'] and set(codes) <= {'OUTCOME_UNKNOWN', 'CELL_UNAVAILABLE', 'PACKET_BUSY'}
    assert hanging >= 1 and late <= early and early <= CONNECTIONS_MAX
    back = time.monotonic()
    replicas(True)
    first = stack.claim_until(fresh[0][1], fresh[0][0])
    took = time.monotonic() - back
    assert first.status == 200 and took < 10 * hb.SLOW, (took, first)
    crowd.learn(fresh[0], first)
    print(f'the first answer came {took:.2f} s after the replicas')
    crowd.ask_until_told()
    crowd.check()


def test_the_answer_of_the_very_last_claim_is_lost_and_asked_again_of_a_new_process(stack):
    """COMMIT waits for its replicas; while it does, hb-core is stopped; then it commits; then hb-core is killed: so it has happened,
    and nobody can have said so."""
    packet = stack.open_packet(1001, 500, 3)
    users = [72000, 72001, 72002]
    stack.mint_all(users + [72003])
    for uid in users[:2]:
        assert stack.claim(uid, packet).json['outcome'] == 'claimed'
    for replica in REPLICAS:
        stack.kill(replica, signal.SIGSTOP)
    with socket.create_connection((stack.http.host, stack.http.port)) as client:
        client.sendall(f'POST /v1/packets/{packet}/claim HTTP/1.1\r\nHost: {stack.http.host}\r\n'
                       f'Authorization: Bearer {stack.token(users[2])}\r\nContent-Length: 0\r\n\r\n'.encode())
        stack.wait(lambda: committing(stack), 'the last claim waits for a replica')
        for core in CORES:
            stack.kill(core, signal.SIGSTOP)
        for replica in REPLICAS:
            stack.kill(replica, signal.SIGCONT)
        rows = stack.wait(lambda: stack.rows(CELL, 'SELECT claim_no, amount, idx FROM claim WHERE packet_id = %s AND uid = %s',
                                             (packet, users[2])), 'the last claim is committed')
        old = [stack.kill(core) for core in CORES]
    stack.wait(lambda: all(stack.pid(core) not in (None, *old) for core in CORES), 'hb-core is back')
    again = stack.claim_until(users[2], packet)
    assert again.json['outcome'] == 'already_claimed', again
    claim = again.json['claim']
    assert (int(claim['claim_no']), claim['amount']['amount'], claim['index']) == rows[0] and rows[0][2] == 2
    assert stack.claim_until(72003, packet).json['outcome'] == 'exhausted'
    stack.wait(lambda: not audit.audit(stack, [packet]), 'the books agree', 60, 1)


def test_300_users_on_one_packet_while_connections_are_killed(stack):
    crowd = Crowd(stack, 73000, 300, 1, 200)
    rng, stop, killed = random.Random(11), threading.Event(), []

    def killer():
        with stack.db(CELL) as db, db.cursor() as cursor:
            while not stop.wait(rng.uniform(0, 0.02)):
                victims = sessions(stack)
                if not victims:
                    continue
                try:
                    cursor.execute(f'KILL {rng.choice(victims)[0]}')
                    killed.append(1)
                except pymysql.err.OperationalError as e:
                    if e.args[0] != 1094:  # it has gone already
                        raise

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        crowd.ask_until_told(32)
        crowd.ask_until_told(32)
    finally:
        stop.set()
        thread.join()
    print(len(killed), 'connections killed')
    assert len(killed) >= 10
    assert Counter(mine is not None for (mine,) in crowd.told.values()) == {True: 200, False: 100}
    crowd.check()


def test_a_consumer_killed_before_its_commit_gets_the_message_again(stack):
    packet = stack.open_packet(1001, 300, 1)
    with stack.db(CELL) as db, db.cursor() as cursor:
        cursor.execute('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ')
        cursor.execute('START TRANSACTION')
        cursor.execute('SELECT order_no FROM transfer FOR UPDATE')  # and every gap: numbers of two blocks do not rise together
        claim = stack.claim(75000, packet).json['claim']

        def inserts():
            with stack.db(CELL) as other, other.cursor() as look:
                look.execute('SHOW PROCESSLIST')
                return [r for r in look.fetchall() if r[1] == 'hb_worker' and (r[7] or '').startswith('INSERT INTO transfer')]

        stack.wait(inserts, 'the transfer is being written')
        old = stack.kill('A-worker-transfer')
    stack.wait(lambda: stack.pid('A-worker-transfer') not in (None, old), 'the worker is back')
    stack.wait(lambda: stack.rows(CELL, 'SELECT state FROM transfer WHERE order_no = %s', (claim['claim_no'],)) == ((2,),),
               'the claim is transferred')


def test_hb_core_told_to_end_finishes_what_it_has_accepted(stack):
    """Everyone asks once. Whoever gets no proper answer was not accepted: they have no claim."""
    crowd = Crowd(stack, 74000, 900, 1, 900)
    half, lost = threading.Event(), []
    told = iter(range(len(crowd.pairs)))

    def one(pair):
        try:
            if crowd.ask_once(pair).status != 200:
                lost.append(pair)
        except (ValueError, OSError) as e:  # nginx's own page
            lost.append((pair, repr(e)))
        if next(told) == 200:
            half.set()

    def restart():
        assert half.wait(60)
        for core in CORES:
            old = stack.kill(core, signal.SIGTERM)
            stack.wait(lambda core=core, old=old: stack.pid(core) not in (None, old), f'{core} is back')
            port = stack.member(CELL)['core_ports'][CORES.index(core)]
            stack.wait(lambda port=port: hb.listens(port), f'{core} listens')

    thread = threading.Thread(target=restart)
    thread.start()
    with ThreadPoolExecutor(48) as pool:
        list(pool.map(one, crowd.pairs))
    thread.join()
    print(len(lost), 'requests were not accepted', lost[:3])
    assert crowd.rows() == {pair: mine for pair, (mine,) in crowd.told.items()}
    assert len(lost) < len(crowd.pairs) / 10
    crowd.ask_until_told()
    crowd.check()
