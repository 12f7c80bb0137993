"""What an operator does to cells that are well, or down to one copy: moving, draining, going on alone, copying anew, comparing.
Each test leaves the cells as it found them."""
import os
import re
import signal
import subprocess
import threading
import time

import cells
import hb
import pytest
from bot import bot, bot_every  # noqa: F401 the fixtures


@pytest.fixture(autouse=True)
def home(stack):
    yield
    for service in (stack.folder / 'sv').glob('A-db-*'):
        (service / 'down').unlink(missing_ok=True)
        stack.sv('up', service.name)
    cells.whole(stack, 'A')
    cells.whole(stack, 'B')


def test_a_switchover_and_back_under_load(stack):
    with cells.Load(stack, [1001, 1002, 1003], per_packet=100, pace=0.1) as load:
        for site in ('west', 'east'):
            before, told = cells.record(stack, 'A'), len(load.told)
            done = cells.switchover(stack, 'A', site)
            assert done.returncode == 0, done.stdout
            now = cells.record(stack, 'A')
            assert (now['epoch'], now['primary'], sorted(now['in_sync'])) == (before['epoch'] + 1, site, sorted(before['in_sync'])), now
            stack.wait(lambda: len(load.told) > told + 10, f'claims go on at {site}')
            stack.wait(lambda: cells.status(stack, 'A')['ready'], 'all members follow')
    load.check()
    assert {code for _, _, code in load.refused} <= {'CELL_UNAVAILABLE', 'OUTCOME_UNKNOWN', 'PACKET_BUSY'}


def test_a_switchover_killed_behind_each_step_is_finished_by_the_same_command(stack):
    with cells.Load(stack, range(1001, 1006), users=3, per_packet=200, pace=0.3) as load:
        for n, step in enumerate(cells.SWITCHOVER_STEPS):
            before, to = cells.record(stack, 'A'), ('west', 'north', 'east')[n % 3]
            first = cells.switchover(stack, 'A', to, env={'HB_CTL_DIE_AFTER': step})
            assert first.returncode == -signal.SIGKILL, (step, first.stdout)
            again = cells.switchover(stack, 'A', to)
            assert again.returncode == 0, (step, first.stdout, again.stdout)
            now = cells.record(stack, 'A')
            assert (now['epoch'], now['primary']) == (before['epoch'] + 1, to) and 'change' not in now, (step, now)
            told = len(load.told)
            stack.wait(lambda: len(load.told) > told, f'claims go on after {step}')
    load.check()


def test_a_switchover_that_cannot_pause_goes_back(stack):
    """Commits wait for an acknowledgement that does not come, and so the primary cannot be closed: it stays what it was."""
    before = cells.record(stack, 'A')
    for site in ('west', 'north'):
        stack.kill(f'A-db-{site}', signal.SIGSTOP)
    try:
        assert cells.switchover(stack, 'A', 'west').returncode == 6, 'not to one that does not answer'
        stack.kill('A-db-west', signal.SIGCONT)
        with stack.db('A', 'west') as db, db.cursor() as cursor:
            cursor.execute('STOP SLAVE IO_THREAD')
        assert cells.switchover(stack, 'A', 'west').returncode == 3, 'not to one that does not receive'
        now = cells.record(stack, 'A')
        assert now == before
        with stack.db('A', 'west') as db, db.cursor() as cursor:
            cursor.execute('START SLAVE IO_THREAD')
    finally:
        stack.kill('A-db-north', signal.SIGCONT)
    packet = stack.open_packet(1001, 1000, 3)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_a_site_is_drained_and_comes_back(stack):
    done = cells.drain(stack, 'east')
    assert done.returncode == 0, done.stdout
    for cell in ('A', 'B'):
        now = cells.record(stack, cell)
        assert now['primary'] != 'east' and 'east' not in now['in_sync'] and len(now['in_sync']) == 2, now
        assert stack.pid(f'{cell}-db-east') is None
    packet = stack.open_packet(1001, 1000, 3)
    assert stack.claim_until(1502, packet).json['outcome'] == 'claimed'
    before = [cells.record(stack, cell) for cell in ('A', 'B')]
    for site in ('north', 'west'):
        refused = cells.drain(stack, site)
        assert refused.returncode == 3, refused.stdout
        assert [cells.record(stack, cell) for cell in ('A', 'B')] == before, 'the last copy stays, and so does the primary'
    back = cells.drain(stack, 'east', '--undo')
    assert back.returncode == 0, back.stdout
    assert all('east' in cells.record(stack, cell)['in_sync'] for cell in ('A', 'B'))


def test_a_drain_of_which_one_cell_was_refused_is_partly_done(stack):
    """Without north only west would have a copy of what cell A writes, and so east may not leave it; of cell B it may."""
    before = cells.record(stack, 'A')
    stack.kill('A-db-north', signal.SIGSTOP)
    try:
        partly = cells.drain(stack, 'east')
    finally:
        stack.kill('A-db-north', signal.SIGCONT)
    assert partly.returncode == 4, partly.stdout
    assert cells.record(stack, 'A') == before
    assert 'east' not in cells.record(stack, 'B')['in_sync']
    back = cells.drain(stack, 'east', '--undo')
    assert back.returncode == 0, back.stdout
    assert 'east' in cells.record(stack, 'B')['in_sync']


def test_a_drain_killed_behind_each_step_is_finished_by_the_same_command(stack):
    for step in cells.DRAIN_STEPS:
        site = cells.record(stack, 'A')['primary']
        first = cells.drain(stack, site, env={'HB_CTL_DIE_AFTER': step})
        assert first.returncode == -signal.SIGKILL, (step, first.stdout)
        again = cells.drain(stack, site)
        assert again.returncode == 0, (step, first.stdout, again.stdout)
        for cell in ('A', 'B'):
            now = cells.record(stack, cell)
            assert now['primary'] != site and site not in now['in_sync'] and 'change' not in now, (step, now)
            assert stack.pid(f'{cell}-db-{site}') is None
        back = cells.drain(stack, site, '--undo')
        assert back.returncode == 0, (step, back.stdout)
    packet = stack.open_packet(1001, 1000, 3)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_a_rebuild_killed_behind_each_step_is_finished_by_the_same_command_or_by_readmit(stack):
    for step in cells.REBUILD_STEPS + cells.READMIT_STEPS:
        first = cells.rebuild(stack, 'A', 'north', env={'HB_CTL_DIE_AFTER': step})
        assert first.returncode == -signal.SIGKILL, (step, first.stdout)
        again = cells.readmit(stack, 'A', 'north') if step in cells.READMIT_STEPS else cells.rebuild(stack, 'A', 'north')
        assert again.returncode == 0, (step, first.stdout, again.stdout)
        assert sorted(cells.record(stack, 'A')['in_sync']) == ['east', 'north', 'west'], step
    equal = cells.hbctl(stack, 'cells', 'replicate', 'A', 'verify', 'north')
    assert equal.returncode == 0, equal.stdout


def test_a_cell_whose_opening_was_killed_is_opened_by_the_same_command(stack):
    packet = stack.open_packet(1001, 1000, 3)
    assert cells.drain(stack, 'A').returncode == 0
    first = cells.drain(stack, 'A', '--undo', env={'HB_CTL_DIE_AFTER': 'undone'})
    assert first.returncode == -signal.SIGKILL, first.stdout
    assert 'change' not in cells.record(stack, 'A')
    assert stack.claim(1002, packet).status == 503
    again = cells.drain(stack, 'A', '--undo')
    assert again.returncode == 0, again.stdout
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    assert cells.drain(stack, 'A', '--undo').returncode == 3, 'it is open'


def test_a_switchover_that_cannot_go_on_says_how_to_go_back(stack):
    packet = stack.open_packet(1001, 1000, 3)
    first = cells.switchover(stack, 'A', 'west', env={'HB_CTL_DIE_AFTER': 'paused'})
    assert first.returncode == -signal.SIGKILL, first.stdout
    with stack.db('A', 'west') as db, db.cursor() as cursor:
        cursor.execute('STOP SLAVE IO_THREAD')
    again = cells.switchover(stack, 'A', 'west')
    assert again.returncode == 4 and 'hbctl cells failover A --undo' in again.stdout and 'nothing was changed' not in again.stdout, again.stdout
    undone = cells.failover(stack, 'A', '--undo')
    assert undone.returncode == 0, undone.stdout
    assert cells.record(stack, 'A')['primary'] == 'east'
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_a_switchover_elsewhere_than_what_has_begun_says_so(stack):
    first = cells.switchover(stack, 'A', 'west', env={'HB_CTL_DIE_AFTER': 'recorded'})
    assert first.returncode == -signal.SIGKILL, first.stdout
    other = cells.switchover(stack, 'A', 'north')
    assert other.returncode == 4 and 'this command again' in other.stdout, other.stdout
    assert cells.record(stack, 'A')['primary'] == 'west' and 'change' not in cells.record(stack, 'A')
    again = cells.switchover(stack, 'A', 'north')
    assert again.returncode == 0, again.stdout
    assert cells.record(stack, 'A')['primary'] == 'north'


def test_a_member_that_lost_its_relay_log_counts_until_another_has_what_the_primary_has(stack):
    """West alone acknowledges a claim, and forgets it with its start, before it has applied it: what it may have acknowledged is no more than what the
    primary has, and north has less."""
    def sql(site, *statements):
        with stack.db('A', site) as db, db.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def lets_replicas_in(yes):
        sql('east', 'SET SESSION sql_log_bin = 0', f'ALTER USER hb_repl ACCOUNT {"UNLOCK" if yes else "LOCK"}')

    packet = stack.open_packet(1001, 1000, 3)
    old = stack.pid('A-db-west')
    try:
        sql('north', 'STOP SLAVE IO_THREAD')
        sql('west', 'STOP SLAVE SQL_THREAD')
        assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
        lets_replicas_in(False)
        stack.kill('A-db-west')
        stack.wait(lambda: stack.pid('A-db-west') not in (None, old) and hb.listens(stack.member('A', 'west')['mysql_port']), 'west runs again')
        refused = cells.rebuild(stack, 'A', 'west')
        assert refused.returncode == 3, refused.stdout
        assert 'west' in cells.record(stack, 'A')['in_sync']
    finally:
        lets_replicas_in(True)
        sql('north', 'START SLAVE IO_THREAD')
    stack.wait(lambda: cells.status(stack, 'A')['ready'] and all(m.get('acknowledges') for m in cells.status(stack, 'A')['members'] if m['role'] == 'replica'),
               'west receives again, and has caught up')
    done = cells.rebuild(stack, 'A', 'west')
    assert done.returncode == 0, done.stdout


def test_a_drained_cell_takes_no_writes_and_the_other_does(stack):
    packet, other = stack.open_packet(1001, 1000, 3), stack.open_packet(1501, 1000, 3)
    done = cells.drain(stack, 'A')
    assert done.returncode == 0, done.stdout
    assert cells.status(stack, 'A')['state'] == 'DRAINED'
    refused = stack.claim(1002, packet)
    assert (refused.status, refused.code) == (503, 'CELL_UNAVAILABLE'), refused
    assert stack.claim_until(1502, other).json['outcome'] == 'claimed'
    old = stack.kill('A-db-east')
    stack.wait(lambda: stack.pid('A-db-east') not in (None, old), 'it is started again')
    time.sleep(3)  # long enough for its settler, had it been let
    assert stack.claim(1002, packet).status == 503
    assert cells.drain(stack, 'A', '--undo').returncode == 0
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_without_a_replica_writes_wait_until_the_record_lets_the_primary_go_on_alone(stack, bot):  # noqa: F811
    packet = stack.open_packet(1001, 1000, 5)
    refused = cells.hbctl(stack, 'cells', 'unprotect', 'A', '--reason', 'a test', '--confirm', 'A')
    assert refused.returncode == 3, refused.stdout
    for site in ('west', 'north'):
        stack.sv('down', f'A-db-{site}')
    assert stack.claim(1002, packet, timeout=20).status == 503
    assert stack.claim(1003, packet, timeout=20).status == 503
    done = cells.hbctl(stack, 'cells', 'unprotect', 'A', '--reason', 'a test', '--confirm', 'A')
    assert done.returncode == 0, done.stdout
    assert [text for text in bot if 'cell A is UNPROTECTED: east alone' in text and 'a test' in text], (done.stdout, bot)
    for uid in (1002, 1003):
        assert stack.claim_until(uid, packet).json['outcome'] in ('claimed', 'already_claimed')
    now = cells.record(stack, 'A')
    assert (now['protection'], now['in_sync']) == ('unprotected', ['east'])
    assert cells.status(stack, 'A')['state'] == 'UNPROTECTED'
    old = stack.kill('A-db-east')
    lagging = cells.failover(stack, 'A', '--force')
    assert lagging.returncode == 3, 'a member that lags is never promoted'
    stack.wait(lambda: stack.pid('A-db-east') not in (None, old), 'it is started again')
    assert stack.claim_until(1004, packet).json['outcome'] == 'claimed', 'alone it takes writes after a start'
    back = cells.readmit(stack, 'A', 'north')
    assert back.returncode == 0, back.stdout
    now = cells.record(stack, 'A')
    assert now['protection'] == 'protected' and sorted(now['in_sync']) == ['east', 'north']
    assert len(stack.rows('A', 'SELECT 1 FROM claim WHERE packet_id = %s', (packet,))) == 3


def test_a_member_is_readmitted_while_the_primary_waits_for_nobody_else(stack):
    """What the primary waits for, the member must acknowledge as it receives it: once received without, it is waited for for ever."""
    packet = stack.open_packet(1001, 1000, 5)
    done = cells.failover(stack, 'A', '--force', '--to', 'west')
    assert done.returncode == 0, done.stdout
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    west, north = (stack.pid(f'A-db-{site}') for site in ('west', 'north'))
    other = next(site for site in ('west', 'north') if site != cells.record(stack, 'A')['primary'])
    stack.kill(f'A-db-{other}', signal.SIGSTOP)
    try:
        waits = [threading.Thread(target=stack.claim, args=(uid, packet), kwargs={'timeout': 20}) for uid in (1003, 1004)]
        for thread in waits:
            thread.start()
        for thread in waits:
            thread.join()
        back = cells.readmit(stack, 'A', 'east')
        assert back.returncode == 0, back.stdout
        for uid in (1003, 1004, 1005):
            assert stack.claim_until(uid, packet).json['outcome'] in ('claimed', 'already_claimed')
        assert (stack.pid('A-db-west'), stack.pid('A-db-north')) == (west, north)
        steps = re.findall(r'ms  (\S+)', back.stdout)
        assert steps.index('recorded') < steps.index('follows'), steps
    finally:
        stack.kill(f'A-db-{other}', signal.SIGCONT)


def test_a_member_that_is_not_counted_on_follows_nobody(stack):
    done = cells.failover(stack, 'A', '--force')
    assert done.returncode == 0, done.stdout
    (stack.folder / 'sv/A-db-east/down').unlink(missing_ok=True)
    stack.sv('up', 'A-db-east')

    def stands_by():
        shown = cells.status(stack, 'A')
        return next(m for m in shown['members'] if m['site'] == 'east')['server'] == 'stands by'
    stack.wait(stands_by, 'east stands by', 60)
    with stack.db('A', 'east') as db, db.cursor() as cursor:
        cursor.execute('SHOW SLAVE STATUS')
        assert cursor.fetchall() == ()
    assert 'east' not in cells.record(stack, 'A')['in_sync']
    old = stack.pid('A-db-east')
    back = cells.readmit(stack, 'A', 'east')
    assert back.returncode == 0 and stack.pid('A-db-east') == old, back.stdout


def test_status_shows_again_and_again_what_changes(stack):
    shown, screens = stack.folder / 'run/status-w', '\033[H\033[2J'
    with open(shown, 'wb') as file:
        watch = subprocess.Popen(['/bin/sh', '-c', f". '{stack.folder}/etc/env'; exec hbctl cells status -w"], stdout=file, start_new_session=True)
    try:
        stack.wait(lambda: shown.read_text().count(screens) >= 3, 'it is shown three times')
        assert all(re.search(r'^A +east +\d+ +PROTECTED', one, re.M) for one in shown.read_text().split(screens)[1:3])
        stack.kill('A-db-north', signal.SIGSTOP)
        stack.wait(lambda: re.search(r'^A +north +replica +unreachable', shown.read_text(), re.M), 'the lost member is shown')
    finally:
        stack.kill('A-db-north', signal.SIGCONT)
        os.killpg(watch.pid, signal.SIGKILL)
        watch.wait()


def test_verify_finds_a_planted_difference_and_rebuild_mends_it(stack):
    packet = stack.open_packet(1001, 1000, 5)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    with cells.Load(stack, [1003, 1004], users=4, per_packet=100, pace=0.1):
        equal = cells.hbctl(stack, 'cells', 'replicate', 'A', 'verify')
        assert equal.returncode == 0, equal.stdout
        with stack.db('A', 'north') as db, db.cursor() as cursor:
            cursor.execute('SET SESSION sql_log_bin = 0')
            assert cursor.execute('UPDATE claim SET amount = amount + 1 WHERE packet_id = %s AND uid = 1002', (packet,)) == 1
        found = cells.hbctl(stack, 'cells', 'replicate', 'A', 'verify', 'north')
        assert found.returncode == 10 and 'claim differs' in found.stdout, found.stdout
        done = cells.rebuild(stack, 'A', 'north')
        assert done.returncode == 0, done.stdout
        equal = cells.hbctl(stack, 'cells', 'replicate', 'A', 'verify', 'north')
        assert equal.returncode == 0, equal.stdout
    assert sorted(cells.record(stack, 'A')['in_sync']) == ['east', 'north', 'west']


def test_a_diverged_old_primary_is_refused_and_rebuilt(stack):
    """It has a commit of its own that nobody told it to drop: written past semi-sync, as after a KILL of a commit that waits."""
    with stack.db('A', 'east') as db, db.cursor() as cursor:
        for site in ('west', 'north'):
            with stack.db('A', site) as there, there.cursor() as there_cursor:
                there_cursor.execute('STOP SLAVE IO_THREAD')
        cursor.execute('SET GLOBAL rpl_semi_sync_master_enabled = OFF')
        cursor.execute('UPDATE heartbeat SET beat = beat + 1000')
        cursor.execute('FLUSH LOCAL ENGINE LOGS')  # else its commit may be cut off like any that nobody was told
    done = cells.failover(stack, 'A', '--force')
    assert done.returncode == 0, done.stdout
    packet = stack.open_packet(1001, 1000, 3)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    refused = cells.readmit(stack, 'A', 'east')
    assert refused.returncode == 4 and 'rebuild' in refused.stdout, refused.stdout
    assert 'east' not in cells.record(stack, 'A')['in_sync']
    done = cells.rebuild(stack, 'A', 'east')
    assert done.returncode == 0, done.stdout
    assert 'east' in cells.record(stack, 'A')['in_sync']
    equal = cells.hbctl(stack, 'cells', 'replicate', 'A', 'verify')
    assert equal.returncode == 0, equal.stdout
