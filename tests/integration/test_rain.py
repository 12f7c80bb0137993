"""The rain: draws repeat their results, budgets hold over any crash, outages are said as they are."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import b2c
import hb

CELL = 'A'
NEXT = iter(range(int(time.time()) % 90000 * 10 + 1000, 999999))
SURE = [{'amount_fen': 10, 'ppm': 1000000}]


def hbctl(stack, *args):
    return subprocess.run([hb.ROOT / 'dev', 'hbctl', *args], env={**os.environ, 'HB_NAME': stack.folder.name},
                          capture_output=True, text=True)


def apply(stack, tmp_path, c, *more):
    path = tmp_path / f'{c["name"]}.cfg'
    path.write_text(b2c.campaign_text(c))
    return hbctl(stack, 'campaign', 'apply', str(path), '--reason', 'test', *more)


@pytest.fixture
def campaign(stack, tmp_path):
    """campaign(**rules): a campaign of its own that hb-rain knows."""
    def make(**rules):
        number = next(NEXT)
        c = {'name': f't-{number}', 'number': number, 'every_s': 86400, 'lasts_s': 86400, 'limit': 10, 'expiry_s': 3600,
             'lease_fen': 1000, 'prizes': SURE, 'budget': {CELL: 100000}, **rules}
        done = apply(stack, tmp_path, c)
        assert done.returncode == 0, done
        stack.wait(lambda: stack.call('GET', f'/v1/rain/{c["name"]}', 1001).status == 200, 'hb-rain knows the campaign')
        return c
    return make


def draw(stack, name, uid, body=None, **more):
    return stack.call('POST', f'/v1/rain/{name}/draw', uid, body, **more)


def leased(stack, number):
    return int(stack.rows(CELL, 'SELECT COALESCE(SUM(amount), 0) FROM budget_lease WHERE campaign = %s', (number,))[0][0])


def subsidies(stack, number):
    return {r[0].decode(): (r[1], int(r[2])) for r in
            stack.rows(CELL, 'SELECT out_order_no, uid, amount FROM subsidy WHERE campaign = %s', (number,))}


def test_draws_count_up_to_the_limit_and_each_repeats_its_result(stack, campaign):
    c = campaign(prizes=[{'amount_fen': 7, 'ppm': 400000}, {'amount_fen': 30, 'ppm': 200000}])
    name, first = c['name'], []
    for k in range(10):
        answer = draw(stack, name, 1101)
        assert answer.status == 200, answer
        assert (answer.json['draw'], answer.json['draws_left']) == (k, 9 - k)
        first.append(answer.json)
    assert {a['outcome'] for a in first} == {'won', 'none'}
    assert draw(stack, name, 1101).json['outcome'] == 'limit'
    before = leased(stack, c['number'])
    for k, was in enumerate(first):
        again = draw(stack, name, 1101, {'draw': k, 'round': was['round']}).json
        assert again['outcome'] == was['outcome']
        if was['outcome'] == 'won':
            assert {f: again['subsidy'][f] for f in ('subsidy_id', 'amount', 'expires_at')} == \
                   {f: was['subsidy'][f] for f in ('subsidy_id', 'amount', 'expires_at')}
    assert leased(stack, c['number']) == before
    assert draw(stack, name, 1102).json['draw'] == 0


def test_bad_draws_are_refused(stack, campaign):
    name = campaign(limit=3)['name']
    for body, field in (({'draw': 3}, 'draw'), ({'draw': -1}, 'draw'), ({'round': 1}, 'draw'), ({'draw': '0'}, 'draw'), ({'k': 0}, 'k')):
        answer = draw(stack, name, 1103, body)
        assert (answer.status, answer.code) == (422, 'INVALID_FIELD'), (body, answer)
        assert answer.json['errors'][0]['field'] == field
    assert draw(stack, 'no-such', 1103).status == 404
    assert stack.call('POST', f'/v1/rain/{name}/draw').status == 401


def test_a_schedule_says_where_it_is(stack, campaign):
    now = int(time.time())
    later = campaign(starts_at=b2c.rfc3339(now + 3600), every_s=600, lasts_s=60)['name']
    over = campaign(starts_at=b2c.rfc3339(now - 3600), ends_at=b2c.rfc3339(now - 60), every_s=600, lasts_s=60)['name']
    between = campaign(starts_at=b2c.rfc3339(now - 3590), every_s=1800, lasts_s=1)['name']
    for name, state in ((later, 'not_started'), (over, 'ended'), (between, 'not_started')):
        assert draw(stack, name, 1104).json == {'outcome': state, 'subsidy': None}
        assert stack.call('GET', f'/v1/rain/{name}', 1104).json['state'] == state
    told = stack.call('GET', f'/v1/rain/{later}', 1104).json
    assert told['round'] == {'number': 1, 'starts_at': b2c.rfc3339(now + 3600)[:-1] + '.000Z', 'ends_at': b2c.rfc3339(now + 3660)[:-1] + '.000Z'}


def test_a_spent_budget_is_said_and_first_results_stay(stack, campaign):
    c = campaign(budget={CELL: 55}, lease_fen=20, limit=2)
    won, spent = {}, 0
    for uid in range(1110, 1120):
        answer = draw(stack, c['name'], uid).json
        if answer['outcome'] == 'won':
            won[uid] = answer['draw'], answer['subsidy']['subsidy_id']
        else:
            k = answer['draw']  # 0, unless memcached was too slow to say so
            assert answer == {'outcome': 'budget_spent', 'subsidy': None, 'round': answer['round'], 'draw': k, 'draws_left': 1 - k}
            spent += 1
    assert 4 <= len(won) <= 5 and spent == 10 - len(won)  # 20 + 20 + 15 fen hold 2 + 2 + 1 prizes of 10
    stack.wait(lambda: stack.call('GET', f'/v1/rain/{c["name"]}', 1110).json['state'] in ('budget_spent', 'raining'), 'the state is told')
    for uid, (k, number) in won.items():
        assert draw(stack, c['name'], uid, {'draw': k}).json['subsidy']['subsidy_id'] == number


def test_a_win_is_repeated_though_the_budget_is_spent_and_hb_rain_has_forgotten_it(stack, campaign):
    c = campaign(budget={CELL: 10}, lease_fen=10)
    won = draw(stack, c['name'], 1120).json
    assert won['outcome'] == 'won'
    stack.wait(lambda: draw(stack, c['name'], 1121, {'draw': 0}).json['outcome'] == 'budget_spent', 'the budget is spent')
    stack.sv('down', f'{CELL}-rain-1')
    ours, gone = f'"c":{c["number"]},', []
    for path in (stack.folder / 'data/wins').glob(f'{CELL}.*'):  # another process has not this log
        lines = path.read_text().splitlines(keepends=True)
        path.write_text(''.join(line for line in lines if ours not in line))
        gone += [(path, line) for line in lines if ours in line]
    stack.sv('up', f'{CELL}-rain-1')
    try:
        assert len(gone) == 2
        stack.wait(lambda: hb.listens(stack.member(CELL)['rain_ports'][0]), 'hb-rain is back', 60)
        again = draw(stack, c['name'], 1120, {'draw': 0}).json
        assert again['outcome'] == 'won' and again['subsidy']['subsidy_id'] == won['subsidy']['subsidy_id'], again
        assert draw(stack, c['name'], 1121, {'draw': 0}).json['outcome'] == 'budget_spent'
    finally:
        for path, line in gone:
            with path.open('a') as f:
                f.write(line)


def test_apply_is_idempotent_and_audited_and_a_budget_is_lowered_only_by_what_is_free(stack, campaign, tmp_path):
    c = campaign(budget={CELL: 5000}, lease_fen=1000)
    stack.wait(lambda: leased(stack, c['number']) == 1000, 'the first block is leased')
    entries = lambda: len(hbctl(stack, 'audit', 'tail', '100000').stdout.splitlines())
    before = entries()
    assert 'nothing to change' in apply(stack, tmp_path, c).stdout
    assert entries() == before
    dry = apply(stack, tmp_path, {**c, 'budget': {CELL: 9000}}, '--dry-run')
    assert dry.returncode == 0 and 'changed, version 2' in dry.stdout and entries() == before
    assert apply(stack, tmp_path, {**c, 'budget': {CELL: 9000}}).returncode == 0
    low = apply(stack, tmp_path, {**c, 'budget': {CELL: 500}})
    assert low.returncode == 4 and 'leased or given' in low.stdout, low
    assert apply(stack, tmp_path, {**c, 'budget': {CELL: 1000}}).returncode == 0
    odds = apply(stack, tmp_path, {**c, 'prizes': [{'amount_fen': 10, 'ppm': 5}], 'budget': {CELL: 1000}})
    assert odds.returncode == 3 and 'use a new number' in odds.stdout
    assert stack.rows(CELL, 'SELECT balance FROM account WHERE kind = 2 AND owner = %s', (c['number'],))[0][0] == 0
    legs = stack.rows(CELL, 'SELECT SUM(amount) FROM ledger WHERE account = 3 AND owner = %s', (c['number'],))
    assert int(legs[0][0]) == -1000
    assert entries() == before + 6  # two for each that was begun: raised, refused, lowered
    assert hbctl(stack, 'audit', 'verify').returncode == 0


def test_rabbitmq_away_is_draw_pending_and_the_repeat_is_the_same_draw(stack, campaign):
    name = campaign()['name']
    assert draw(stack, name, 1130).json['outcome'] == 'won'
    stack.kill('rabbitmq')
    stack.sv('down', 'rabbitmq')
    try:
        for _ in range(2):
            answer = draw(stack, name, 1130)
            assert (answer.status, answer.code) == (503, 'DRAW_PENDING'), answer
        other = draw(stack, name, 1131)
        assert other.code == 'DRAW_PENDING'
    finally:
        stack.sv('up', 'rabbitmq')
    again = stack.wait(lambda: (a := draw(stack, name, 1130)).status == 200 and a, 'draws are confirmed again', 60)
    assert (again.json['outcome'], again.json['draw']) == ('won', 1)
    assert draw(stack, name, 1131).json['draw'] == 0


def test_memcached_away_draws_go_on_within_the_limit(stack, campaign):
    c = campaign(limit=3)
    cache = f'{CELL}-cache-{stack.cells[CELL]["active"]}'
    stack.sv('down', cache)
    try:
        seen = {}
        for _ in range(30):
            answer = draw(stack, c['name'], 1140)
            assert answer.status == 200 and answer.json['outcome'] == 'won', answer
            seen.setdefault(answer.json['draw'], set()).add(answer.json['subsidy']['subsidy_id'])
        assert set(seen) <= {0, 1, 2} and all(len(numbers) == 1 for numbers in seen.values())
    finally:
        stack.sv('up', cache)
    stack.wait(lambda: hb.listens(stack.member(CELL)['memcached_port']), 'memcached is back')


def believed_until_ms(stack):
    """Until when readers believe hb-rain 1 that it has listed all its wins, at the least (lib/domain/token_list.h); 0: they do not."""
    with socket.create_connection(('127.0.0.1', stack.member(CELL)['memcached_port'])) as s:
        s.sendall(b'get tl:live:1\r\n')
        text = b''
        while not text.endswith(b'END\r\n'):
            text += s.recv(4096)
    return 0 if text == b'END\r\n' else int(text.split()[-2])


def test_a_win_that_cannot_be_listed_is_told_to_nobody_while_the_list_is_believed(stack, campaign):
    name = campaign()['name']
    assert draw(stack, name, 1150, {'draw': 1}).json['outcome'] == 'won'
    stack.wait(lambda: believed_until_ms(stack) > time.time() * 1000, 'hb-rain says that its lists are whole')
    until_ms = believed_until_ms(stack)
    stack.kill(f'{CELL}-cache-{stack.cells[CELL]["active"]}', signal.SIGSTOP)
    told = []

    def repeat():
        assert draw(stack, name, 1150, {'draw': 0}).json['outcome'] == 'won'
        told.append(time.time() * 1000)

    repeats = [threading.Thread(target=repeat) for _ in range(4)]
    try:
        for t in repeats:
            t.start()
            time.sleep(0.1)  # so that not all of them are of one group
        for t in repeats:
            t.join()
    finally:
        stack.kill(f'{CELL}-cache-{stack.cells[CELL]["active"]}', signal.SIGCONT)
    assert len(told) == 4 and min(told) > until_ms, (until_ms, told)


class Crowd:
    """Clients that draw as fast as they can, remember every first result, and repeat at random."""

    def __init__(self, stack, c):
        self.stack, self.c, self.first, self.lock, self.stop = stack, c, {}, threading.Lock(), False
        self.wrong, self.spent, self.next_uid = [], 0, 2000

    def note(self, uid, a):
        key, result = (uid, a['round'], a['draw']), (a['outcome'], (a['subsidy'] or {}).get('subsidy_id'))
        with self.lock:
            if a['outcome'] == 'budget_spent' and key not in self.first:
                self.spent += 1
                return
            was = self.first.setdefault(key, result)
            if was != result:
                self.wrong.append((key, was, result))

    def uid(self):
        with self.lock:
            self.next_uid += 1
            return self.next_uid // 499 * 1000 + self.next_uid % 499 + 1

    def one(self, uid, body=None):
        try:
            answer = draw(self.stack, self.c['name'], uid, body)
        except OSError:
            return False
        if answer.status == 200:
            if answer.json['outcome'] != 'limit':
                self.note(uid, answer.json)
            return True
        assert answer.status == 503, answer
        return False

    def run(self):
        while not self.stop:
            uid = self.uid()
            for _ in range(3):
                while not self.one(uid) and not self.stop:
                    time.sleep(0.01)
            with self.lock:
                known = [k for k in self.first if k[0] == uid]
            for _, round_, k in known:
                self.one(uid, {'round': round_, 'draw': k})


def test_the_budget_holds_while_hb_rain_and_memcached_are_killed(stack, campaign):
    c = campaign(prizes=[{'amount_fen': 10, 'ppm': 300000}, {'amount_fen': 40, 'ppm': 100000}], budget={CELL: 60000}, lease_fen=400, limit=3)
    cache, rain = f'{CELL}-cache-{stack.cells[CELL]["active"]}', f'{CELL}-rain-1'
    crowd = Crowd(stack, c)
    threads = [threading.Thread(target=crowd.run) for _ in range(8)]
    for t in threads:
        t.start()
    try:
        for i in range(20):
            seen = len(crowd.first)
            stack.wait(lambda seen=seen: len(crowd.first) > seen + 20 or crowd.spent > 50, 'draws go on', 60)
            stack.kill(rain)
            if i % 2:
                stack.kill(cache)
            stack.wait(lambda: stack.pid(rain) and hb.listens(stack.member(CELL)['rain_ports'][0]), 'hb-rain is back', 60)
        stack.wait(lambda: crowd.spent > 50, 'the budget is spent', 120)
    finally:
        crowd.stop = True
        for t in threads:
            t.join()
    assert not crowd.wrong, crowd.wrong[:5]
    # What was told once is told again, now that everything is calm.
    for (uid, round_, k), result in list(crowd.first.items())[::7]:
        again = draw(stack, c['name'], uid, {'round': round_, 'draw': k})
        assert again.status == 200 and (again.json['outcome'], (again.json['subsidy'] or {}).get('subsidy_id')) == result, (uid, k, again, result)
    won = {number: k for k, (outcome, number) in crowd.first.items() if outcome == 'won'}
    budget, all_leased = c['budget'][CELL], leased(stack, c['number'])
    print(f'{len(crowd.first)} draws, {len(won)} wins, {all_leased} of {budget} fen leased')
    assert 0.95 * budget <= all_leased <= budget
    given = [json.loads(line) for path in (stack.folder / 'data/wins').glob(f'{CELL}.*') for line in path.read_text().splitlines()
             if line.endswith('}') and f'"c":{c["number"]},' in line]
    fen = {str(w['no']): w['a'] for w in given}
    assert set(won) <= {str(w['no']) for w in given if w['e'] == 'given'}
    assert sum(fen.values()) <= budget
    numbers = stack.wait(lambda: (s := subsidies(stack, c['number'])) and
                         all(f'{c["number"]}.{r}.{k}.{u}' in s for u, r, k in won.values()) and s, 'every win is a subsidy', 60)
    assert sum(amount for _, amount in numbers.values()) <= budget
    assert len(numbers) == len(set(numbers))
    for u, r, k in won.values():
        assert numbers[f'{c["number"]}.{r}.{k}.{u}'][0] == u
