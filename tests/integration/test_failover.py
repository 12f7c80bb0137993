"""One member of a cell is lost, and another takes over: nothing acknowledged is lost, nothing refused took effect, and whatever is
interrupted is finished by the same command. Each test leaves the cells as it found them."""
import os
import re
import signal
import subprocess
import time

import cells
import hb
import pytest

@pytest.fixture(autouse=True)
def home(stack):
    yield
    for service in (stack.folder / 'sv').glob('A-db-*'):
        stack.sv('up', service.name)
    cells.whole(stack, 'A')
    cells.whole(stack, 'B')


def elsewhere(stack, cell, packet, uid):
    """A claim in the other cell goes through at once."""
    answer = stack.claim(uid, packet)
    assert answer.status == 200, answer


def other_topology(stack, folder, pattern, text):
    """A configuration for hbctl that differs in its topology."""
    topology, config = folder / 'topology.cfg', folder / 'hongbao.cfg'
    told, n = re.subn(pattern, text, (stack.folder / 'etc/topology.cfg').read_text())
    assert n
    topology.write_text(told)
    config.write_text((stack.folder / 'etc/hongbao.cfg').read_text().replace(f'{stack.folder}/etc/topology.cfg', str(topology)))
    return config


def begun_as_active(stack, site):
    return (stack.folder / f'log/A-core-1-{site}/current').read_text().count('"as":"active"')


def test_a_killed_primary_under_load(stack):
    other, active = stack.open_packet(1501, 1000, 10), begun_as_active(stack, 'east')
    with cells.Load(stack, [1001, 1002]) as load:
        stack.wait(lambda: len(load.told) > 10, 'claims go on')
        stack.kill('A-db-east')
        began = time.monotonic()
        done = cells.failover(stack, 'A')
        assert done.returncode == 0, done.stdout
        elsewhere(stack, 'B', other, 1502)
        stack.wait(lambda: load.times[-1] > began + 0.001 and len(load.times) > 30, 'claims go on at the new primary')
    print(done.stdout)
    print(f'first claim {min(t for t in load.times if t > began) - began:.2f} s after the command')
    load.check()
    assert {code for _, _, code in load.refused} <= {'CELL_UNAVAILABLE', 'OUTCOME_UNKNOWN', 'PACKET_BUSY'}
    now = cells.record(stack, 'A')
    assert now['epoch'] > 1 and now['primary'] != 'east' and 'east' not in now['in_sync']
    back = cells.readmit(stack, 'A', 'east')
    assert back.returncode == 0, back.stdout
    assert 'east' in cells.record(stack, 'A')['in_sync']
    assert begun_as_active(stack, 'east') == active, 'what its supervisor started again was a standby'
    load.check()


def test_hbctl_killed_behind_each_step_is_finished_by_the_same_command(stack):
    with cells.Load(stack, range(1001, 1011), users=3, per_packet=200, pace=0.25) as load:
        for step in cells.FAILOVER_STEPS:
            before = cells.record(stack, 'A')
            first = cells.failover(stack, 'A', '--force', '--expect-epoch', before['epoch'], env={'HB_CTL_DIE_AFTER': step})
            assert first.returncode == -signal.SIGKILL, (step, first.stdout)
            again = cells.failover(stack, 'A', '--force', '--expect-epoch', before['epoch'])
            assert again.returncode == 0, (step, first.stdout, again.stdout)
            now = cells.record(stack, 'A')
            assert now['epoch'] == before['epoch'] + 1 and now['primary'] != before['primary'] and 'change' not in now, (step, now)
            told = len(load.told)
            stack.wait(lambda: len(load.told) > told, f'claims go on after {step}')
            back = cells.readmit(stack, 'A', before['primary'])
            assert back.returncode == 0, (step, back.stdout)
    load.check()


def test_a_member_out_of_reach_stops_a_failover_before_it_begins(stack):
    before = cells.record(stack, 'A')
    stack.kill('A-db-west', signal.SIGSTOP)
    east = stack.kill('A-db-east', signal.SIGSTOP)
    try:
        refused = cells.failover(stack, 'A')
        assert refused.returncode == 3, refused.stdout
        assert cells.record(stack, 'A') == before
    finally:
        stack.kill('A-db-west', signal.SIGCONT)
    done = cells.failover(stack, 'A')
    assert done.returncode == 0, done.stdout
    assert stack.pid('A-db-east') != east, 'the old primary was killed, not only left behind'


def test_who_cannot_be_killed_must_be_said_to_be_dead(stack, tmp_path):
    """Two servers at sites that nobody can reach could go on with each other: hbctl asks, and then waits for a copy."""
    config = other_topology(stack, tmp_path, r'(name = "(?:east|north)"; fence = )"[^"]*"', r'\1"false"')

    def give_up(*more):
        return cells.hbctl(stack, '--config', config, 'cells', 'failover', 'A', '--reason', 'a test', '--confirm', 'A', *more)

    packet = stack.open_packet(1001, 1000, 3)
    told = stack.claim_until(1002, packet).json['claim']['claim_no']
    north = stack.kill('A-db-north', signal.SIGSTOP)
    (stack.folder / 'sv/A-db-east/down').touch()
    stack.sv('once', 'A-db-east')
    stack.kill('A-db-east')
    try:
        for more, code, says in (((), 3, 'may be the only one'), (('--accept-loss',), 4, 'say --dead SITE'),
                                 (('--accept-loss', '--dead', 'west'), 4, 'say --dead SITE')):
            done = give_up(*more)
            assert done.returncode == code and says in done.stdout, (more, done.stdout)
        assert cells.record(stack, 'A')['primary'] == 'east'
        done = give_up('--accept-loss', '--dead', 'east')
        assert done.returncode == 4 and 'no replica acknowledges' in done.stdout, done.stdout
    finally:
        stack.kill('A-db-north', signal.SIGCONT)
    now = cells.record(stack, 'A')
    assert (now['primary'], now['in_sync'], now['change']) == ('west', ['west'], 'moving'), now
    assert stack.claim(1003, packet, timeout=20).status == 503, 'not before there is a copy'
    back = cells.readmit(stack, 'A', 'north')
    assert back.returncode == 0 and stack.pid('A-db-north') != north, back.stdout
    done = cells.failover(stack, 'A')
    assert done.returncode == 0, done.stdout
    assert stack.claim_until(1002, packet).json['claim']['claim_no'] == told


def test_nothing_is_given_up_that_works(stack):
    before = cells.record(stack, 'A')
    for more, code in (((), 3), (('--force', '--expect-epoch', before['epoch'] + 5), 3), (('--force', '--dry-run'), 0), (('--to', 'nowhere'), 2)):
        done = cells.failover(stack, 'A', *more)
        assert done.returncode == code, (more, done.stdout)
    assert cells.hbctl(stack, 'cells', 'failover', 'A', '--reason', 'x', '--confirm', 'B').returncode == 2
    assert cells.record(stack, 'A') == before


def test_a_failover_that_has_begun_can_be_undone(stack):
    before = cells.record(stack, 'A')
    first = cells.failover(stack, 'A', '--force', env={'HB_CTL_DIE_AFTER': 'stopped'})
    assert first.returncode == -signal.SIGKILL
    assert cells.record(stack, 'A')['change'] == 'failing'
    undone = cells.failover(stack, 'A', '--undo')
    assert undone.returncode == 0, undone.stdout
    stack.wait(lambda: cells.status(stack, 'A')['ready'], 'the old primary is back', seconds=60)
    now = cells.record(stack, 'A')
    assert (now['primary'], now['epoch']) == (before['primary'], before['epoch'])
    packet = stack.open_packet(1001, 1000, 3)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'


def test_an_undoing_that_was_killed_is_finished_by_the_same_command(stack):
    """The record says steady already, and the primary is down, and kept down by its fence."""
    first = cells.failover(stack, 'A', '--force', env={'HB_CTL_DIE_AFTER': 'chosen'})
    assert first.returncode == -signal.SIGKILL, first.stdout
    stack.wait(lambda: stack.pid('A-db-east') is None, 'east is fenced')
    undone = cells.failover(stack, 'A', '--undo', env={'HB_CTL_DIE_AFTER': 'undone'})
    assert undone.returncode == -signal.SIGKILL, undone.stdout
    assert 'change' not in cells.record(stack, 'A') and stack.pid('A-db-east') is None
    again = cells.failover(stack, 'A', '--undo')
    assert again.returncode == 0, again.stdout
    stack.wait(lambda: cells.status(stack, 'A')['ready'], 'east is back', seconds=60)
    packet = stack.open_packet(1001, 1000, 3)
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
    assert cells.failover(stack, 'A', '--undo').returncode == 3, 'there is nothing to undo'


def test_a_front_door_that_was_cut_off_is_told_by_readmit(stack, tmp_path):
    """The nginx at east lives on, and neither answers nor can be reloaded while the cell moves away from it."""
    doors = {door['site']: hb.Client(f'http://{door["host"]}:{door["front_port"]}') for door in stack.doors}
    nginx = [stack.pid('nginx-east'), *map(int, subprocess.run(['pgrep', '-P', str(stack.pid('nginx-east'))], capture_output=True, text=True).stdout.split())]
    run = next(s['run'] for s in stack.topology['sites'] if s['name'] == 'east')
    cut_off = tmp_path / 'run'
    cut_off.write_text(f'#!/bin/sh\n[ "$1" != nginx ] || exit 255\nexec {run} "$@"\n')
    cut_off.chmod(0o755)
    config = other_topology(stack, tmp_path, rf'(name = "east"; .*run = )"{re.escape(run)}"', rf'\1"{cut_off}"')

    def writes(site):
        return doors[site].call('GET', '/v1/me/seed', token=stack.mint(1001)).status

    stack.wait(lambda: (writes('east'), writes('west')) == (200, 200), 'both doors lead to the primary')
    for pid in nginx:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = cells.hbctl(stack, '--config', config, 'cells', 'failover', 'A', '--reason', 'a test', '--confirm', 'A', '--force')
    finally:
        for pid in reversed(nginx):
            os.kill(pid, signal.SIGCONT)
    assert done.returncode == 0 and 'hbctl nginx reload' in done.stdout, done.stdout
    assert (writes('east'), writes('west')) == (503, 200)
    back = cells.readmit(stack, 'A', 'east')
    assert back.returncode == 0, back.stdout
    stack.wait(lambda: writes('east') == 200, 'the door at east leads to the new primary')


def test_nginx_reload_asks_every_site(stack, tmp_path):
    """An installation has each nginx on another host: here, each site's command notes that it was asked."""
    asked = tmp_path / 'asked'
    config = other_topology(stack, tmp_path, r'run = "[^"]*\'([^\']*)\' (\w+)"', rf'run = "echo >>{asked} \2"')
    done = cells.hbctl(stack, '--config', config, 'nginx', 'reload')
    assert done.returncode == 0, done.stdout
    assert sorted(asked.read_text().splitlines()) == ['east nginx', 'west nginx']


def test_a_replica_started_during_a_failover_does_not_come_back_to_the_old_primary(stack):
    """Its relay log is gone with its start, and what it would receive now, the chosen one might never have."""
    first = cells.failover(stack, 'A', '--force', '--to', 'west', env={'HB_CTL_DIE_AFTER': 'begun'})
    assert first.returncode == -signal.SIGKILL
    old = stack.kill('A-db-north')
    stack.wait(lambda: stack.pid('A-db-north') not in (None, old) and hb.listens(stack.member('A', 'north')['mysql_port']), 'north runs again')
    for _ in range(10):
        with stack.db('A', 'north') as db, db.cursor() as cursor:
            cursor.execute('SHOW SLAVE STATUS')
            assert cursor.fetchone()[10] == 'No', 'it must not receive'
        time.sleep(0.1)
    refused = cells.failover(stack, 'A', '--force', '--to', 'west')
    assert refused.returncode == 4, refused.stdout
    done = cells.failover(stack, 'A', '--force', '--to', 'west', '--accept-loss')
    assert done.returncode == 0, done.stdout
    stack.wait(lambda: cells.status(stack, 'A')['ready'], 'north follows west', seconds=60)


def test_a_member_that_comes_back_gets_what_was_cut_off_it(stack):
    """A claim that a replica has acknowledged may still be cut off the killed primary's binlog at its start: its successor sends it again, under
    the server_id that it was written with. A replica skips what bears its own, so it must have another one by then."""
    def east(sql, *args):
        with stack.db('A', 'east') as db, db.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    packet = stack.open_packet(1001, 2000, 20)
    written_as = east('SELECT @@server_id')
    told = stack.claim_until(1002, packet).json
    stack.kill('A-db-east')
    done = cells.failover(stack, 'A', '--force')
    assert done.returncode == 0, done.stdout
    back = cells.readmit(stack, 'A', 'east')
    assert back.returncode == 0, back.stdout
    assert east('SELECT @@server_id') != written_as
    assert east('SELECT claim_no FROM claim WHERE packet_id = %s AND uid = 1002', packet) == ((int(told['claim']['claim_no']),),)
