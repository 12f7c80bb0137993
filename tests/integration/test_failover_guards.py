"""What a change of a cell's primary must not do, however it was interrupted: kill a member that may hold the last commits, let a primary write
that nobody acknowledges, or go on by a record that is another one by now. Each test leaves the cells as it found them."""
import signal
import subprocess
import threading

import cells
import hb
import pymysql
import pytest


@pytest.fixture(autouse=True)
def home(stack):
    yield
    cells.whole(stack, 'A')


def value(stack, site, sql):
    """None while the member does not answer."""
    try:
        with stack.db('A', site) as db, db.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]
    except pymysql.MySQLError:
        return None


def receives(stack, site):
    with stack.db('A', site) as db, db.cursor() as cursor:
        cursor.execute('SHOW SLAVE STATUS')
        return cursor.fetchone()[10] != 'No'


def each(stack, sites, sql):
    for site in sites:
        with stack.db('A', site) as db, db.cursor() as cursor:
            cursor.execute(sql)


def restarted(stack, site):
    old = stack.kill(f'A-db-{site}')
    stack.wait(lambda: stack.pid(f'A-db-{site}') not in (None, old) and value(stack, site, 'SELECT @@read_only') == 1, f'{site} is started again')


def died(stack, step):
    first = cells.failover(stack, 'A', '--force', env={'HB_CTL_DIE_AFTER': step})
    assert first.returncode == -signal.SIGKILL, first.stdout


def new_and_other(stack):
    """Who has been named, which is who received most, and who is to follow it."""
    new = cells.record(stack, 'A')['primary']
    return new, {'west': 'north', 'north': 'west'}[new]


def test_a_replica_that_is_slow_to_answer_is_not_killed(stack):
    """It may be the only one to hold the last commits, and its relay log would go with it."""
    died(stack, 'begun')
    north = stack.kill('A-db-north', signal.SIGSTOP)
    try:
        stuck = cells.failover(stack, 'A', '--force')
        assert stuck.returncode == 4 and 'north cannot be reached' in stuck.stdout, stuck.stdout
        assert stack.pid('A-db-north') == north and not (stack.folder / 'sv/A-db-north/down').exists()
    finally:
        stack.kill('A-db-north', signal.SIGCONT)
    done = cells.failover(stack, 'A', '--force')
    assert done.returncode == 0, done.stdout
    assert stack.pid('A-db-north') == north


def test_a_drained_cell_opens_only_when_somebody_acknowledges(stack):
    """Its primary was started again while it was closed, and waits for nobody's acknowledgement since."""
    packet = stack.open_packet(1001, 1000, 3)
    assert cells.drain(stack, 'A').returncode == 0
    restarted(stack, 'east')
    each(stack, ('west', 'north'), 'STOP SLAVE IO_THREAD')
    stuck = cells.drain(stack, 'A', '--undo')
    assert stuck.returncode == 4 and 'no replica acknowledges' in stuck.stdout, stuck.stdout
    assert value(stack, 'east', 'SELECT @@read_only') == 1
    assert stack.claim(1002, packet).status == 503
    each(stack, ('west', 'north'), 'START SLAVE IO_THREAD')
    done = cells.failover(stack, 'A')
    assert done.returncode == 0, done.stdout
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_a_new_primary_that_was_started_again_opens_only_when_somebody_acknowledges(stack):
    """It has the row of its epoch, and behind it a commit that nobody else has: writing that row once more waits for nobody."""
    died(stack, 'writable')
    new, other = new_and_other(stack)
    pid = stack.kill(f'A-db-{other}', signal.SIGSTOP)
    try:
        with stack.db('A', new) as db, db.cursor() as cursor:
            beat = threading.Thread(target=lambda: pytest.raises(pymysql.MySQLError, cursor.execute, 'UPDATE heartbeat SET beat = beat + 1000'))
            beat.start()
            stack.wait(lambda: value(stack, new, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for semi-sync ACK%'"),
                       'the commit waits')
            restarted(stack, new)
            beat.join()
        stuck = cells.failover(stack, 'A', '--force')
        assert value(stack, new, 'SELECT @@read_only') == 1, stuck.stdout
        assert stuck.returncode == 4 and 'no replica acknowledges' in stuck.stdout, stuck.stdout
    finally:
        stack.kill(f'A-db-{other}', signal.SIGCONT)
    done = cells.failover(stack, 'A')
    assert done.returncode == 0, done.stdout
    assert stack.pid(f'A-db-{other}') == pid


def test_a_failover_that_another_host_undoes_stops_there(stack, tmp_path):
    """It waits for the role of a member meanwhile. When it gets that, the record is another one, and the member goes on receiving."""
    with stack.db('A', 'west') as west, stack.db('A', 'north') as north:
        for db in (west, north):
            db.cursor().execute("SELECT GET_LOCK('hongbao.role', 10)")
        command = f". '{stack.folder}/etc/env'; exec hbctl cells failover A --reason 'a test' --confirm A --force"
        first = subprocess.Popen(['/bin/sh', '-c', command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        stack.wait(lambda: cells.record(stack, 'A').get('change') == 'failing', 'the failover has begun', pause=0.01)
        undone = cells.hbctl(stack, '--state', tmp_path, 'cells', 'failover', 'A', '--undo', '--reason', 'a test', '--confirm', 'A',
                             env={'HB_CTL_DIE_AFTER': 'undone'})
        assert undone.returncode == -signal.SIGKILL, undone.stdout
    said = first.communicate(timeout=60 * hb.SLOW)[0]
    assert first.returncode == 4 and 'this one stops here' in said, said
    assert receives(stack, 'west') and receives(stack, 'north'), said
    assert cells.record(stack, 'A')['primary'] == 'east' and 'change' not in cells.record(stack, 'A')
    stack.sv('up', 'A-db-east')
    stack.wait(lambda: cells.status(stack, 'A')['ready'], 'the old primary is back', seconds=60)


def test_a_dry_run_where_nobody_can_take_over_says_so(stack):
    died(stack, 'begun')
    for site in ('west', 'north'):
        stack.kill(f'A-db-{site}', signal.SIGSTOP)
    try:
        shown = cells.hbctl(stack, 'cells', 'failover', 'A', '--dry-run')
        assert shown.returncode == 3 and 'no member of cell A could take over' in shown.stdout, shown
        shown = cells.hbctl(stack, 'cells', 'failover', 'A', '--undo', '--dry-run')
        assert shown.returncode == 0 and 'steady' in shown.stdout and 'fence' not in shown.stdout, shown
    finally:
        for site in ('west', 'north'):
            stack.kill(f'A-db-{site}', signal.SIGCONT)
    undone = cells.failover(stack, 'A', '--undo')
    assert undone.returncode == 0, undone.stdout
    shown = cells.hbctl(stack, 'cells', 'failover', 'A', '--undo', '--dry-run')
    assert shown.returncode == 3, shown


def test_an_operators_closure_and_an_older_epoch_are_not_passed_over(stack):
    before = cells.record(stack, 'A')
    assert cells.drain(stack, 'A').returncode == 0
    refused = cells.failover(stack, 'A')
    assert refused.returncode == 3 and 'closed by an operator' in refused.stdout, refused.stdout
    assert cells.record(stack, 'A')['change'] == 'drained'
    assert cells.drain(stack, 'A', '--undo').returncode == 0
    died(stack, 'begun')
    refused = cells.failover(stack, 'A', '--force', '--expect-epoch', before['epoch'] - 1)
    assert refused.returncode == 3, refused.stdout
    done = cells.failover(stack, 'A', '--force', '--expect-epoch', before['epoch'])
    assert done.returncode == 0, done.stdout
    again = cells.failover(stack, 'A', '--force', '--expect-epoch', before['epoch'])
    assert again.returncode == 0 and 'since a failover from epoch' in again.stdout, again.stdout


def test_a_new_primary_that_answers_and_cannot_write_is_given_up_by_force(stack):
    died(stack, 'recorded')
    new, other = new_and_other(stack)
    pid = stack.pid(f'A-db-{new}')
    with stack.db('A', new) as db, db.cursor() as cursor:
        cursor.execute('FLUSH TABLES WITH READ LOCK')
        refused = cells.failover(stack, 'A', '--force')
        assert refused.returncode == 4 and 'never received what it had' in refused.stdout, refused.stdout
        assert stack.pid(f'A-db-{new}') == pid
        moved = cells.failover(stack, 'A', '--force', '--accept-loss')
    assert moved.returncode == 4 and 'no replica acknowledges' in moved.stdout, moved.stdout
    now = cells.record(stack, 'A')
    assert (now['primary'], now['in_sync']) == (other, [other]), now
    assert stack.pid(f'A-db-{new}') is None, 'it is fenced'
    back = cells.readmit(stack, 'A', 'east')
    assert back.returncode == 0, back.stdout
    done = cells.failover(stack, 'A')
    assert done.returncode == 0, done.stdout


def test_only_whoever_has_its_role_opens_the_primary_again(stack):
    first = cells.switchover(stack, 'A', 'west', env={'HB_CTL_DIE_AFTER': 'paused'})
    assert first.returncode == -signal.SIGKILL, first.stdout
    with stack.db('A', 'east') as db:
        db.cursor().execute("SELECT GET_LOCK('hongbao.role', 10)")
        stuck = cells.switchover(stack, 'A', 'west')
        assert stuck.returncode == 4 and 'the role of east' in stuck.stdout, stuck.stdout
        assert value(stack, 'east', 'SELECT @@read_only') == 1 and cells.record(stack, 'A')['change'] == 'switching'
    done = cells.switchover(stack, 'A', 'west')
    assert done.returncode == 0, done.stdout


def test_a_switchover_that_cannot_close_the_primary_goes_back(stack):
    before, packet = cells.record(stack, 'A'), stack.open_packet(1001, 1000, 3)
    with stack.db('A', 'east') as db:
        db.cursor().execute('LOCK TABLES heartbeat WRITE')
        refused = cells.switchover(stack, 'A', 'west')
    assert refused.returncode == 3 and 'takes writes again' in refused.stdout, refused.stdout
    assert cells.record(stack, 'A') == before
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_an_undo_that_nobody_acknowledged_is_finished_by_the_same_command(stack):
    packet = stack.open_packet(1001, 1000, 3)
    first = cells.switchover(stack, 'A', 'west', env={'HB_CTL_DIE_AFTER': 'paused'})
    assert first.returncode == -signal.SIGKILL, first.stdout
    for site in ('west', 'north'):
        stack.kill(f'A-db-{site}', signal.SIGSTOP)
    try:
        stuck = cells.failover(stack, 'A', '--undo')
        assert stuck.returncode == 4 and 'no replica acknowledges' in stuck.stdout, stuck.stdout
        assert value(stack, 'east', 'SELECT @@read_only') == 1
    finally:
        for site in ('west', 'north'):
            stack.kill(f'A-db-{site}', signal.SIGCONT)
    done = cells.failover(stack, 'A', '--undo')
    assert done.returncode == 0, done.stdout
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
