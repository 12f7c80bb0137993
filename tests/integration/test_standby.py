"""What runs at the sites where a cell is not active: ready, and refusing."""
import os
import shutil
import subprocess

import hb


def site(stack, name, *words):
    command = next(s['run'] for s in stack.topology['sites'] if s['name'] == name)
    subprocess.run(['/bin/sh', '-c', f'{command} "$@"', 'sh', *map(str, words)], check=True)


def said(stack, service, event):
    return (stack.folder / 'log' / service / 'current').read_text().count(f'"event":"{event}"')


def test_standby_programs_refuse_and_say_when_to_come_back(stack):
    member = stack.member('A', 'west')
    for port in member['core_ports'] + member['query_ports'] + member['rain_ports']:
        answer = hb.fastcgi(port, {'REQUEST_METHOD': 'POST', 'REQUEST_URI': '/v1/packets/1000001/claim', 'CONTENT_LENGTH': '0'})
        assert b'Status: 503' in answer and b'"code":"CELL_UNAVAILABLE"' in answer and b'Retry-After: 1' in answer, answer


def test_a_standby_that_remains_one_goes_on(stack):
    """North's programs are told that west rules now: they know it, and need not begin anew for it."""
    services = ('A-core-1-north', 'A-worker-sweep-north')
    begun, known = [[said(stack, s, event) for s in services] for event in ('program.start', 'live.still_standby')]
    try:
        site(stack, 'north', 'live', 'A', 7, 'west')
        for service, before in zip(services, known):
            stack.wait(lambda: said(stack, service, 'live.still_standby') > before, f'{service} knows')
        assert b'Status: 503' in hb.fastcgi(stack.member('A', 'north')['core_ports'][0], {'REQUEST_METHOD': 'GET', 'REQUEST_URI': '/v1/me/seed'})
        assert '"epoch":7,"event":"live.still_standby"' in (stack.folder / 'log' / services[0] / 'current').read_text()
    finally:
        site(stack, 'north', 'live', 'A', 1, 'east')
    for service, before in zip(services, known):
        stack.wait(lambda: said(stack, service, 'live.still_standby') > before + 1, f'{service} knows')
    assert [said(stack, s, 'program.start') for s in services] == begun


def test_a_changed_go_live_file_makes_a_program_begin_anew(stack):
    """North's programs are told that they rule, at an epoch of their own, which no database has: they must not serve. Then they are told the truth."""
    services = ('A-core-1-north', 'A-worker-sweep-north')
    own = [f'"as":"active","pid":{stack.pid(s)}}}' for s in services]  # in the same process, without the supervisor
    begun = said(stack, services[0], 'program.start')
    site(stack, 'north', 'live', 'A', 9, 'north')
    try:
        for service, line in zip(services, own):
            stack.wait(lambda: line in (stack.folder / 'log' / service / 'current').read_text(), f'{service} begins anew')
    finally:
        site(stack, 'north', 'live', 'A', 1, 'east')
    stack.wait(lambda: said(stack, 'A-core-1-north', 'program.start') > begun + 1, 'it is told the truth')
    stack.wait(lambda: hb.listens(stack.member('A', 'north')['core_ports'][0]), 'it listens')


def test_a_worker_that_waits_to_begin_anew_ends_when_it_is_told_to(stack, tmp_path):
    """Workers begin anew at a random moment (worker.spread_ms, here a minute), so that a site's do not all load the machine at once."""
    (tmp_path / 'metrics').mkdir()
    (tmp_path / 'live').mkdir()
    shutil.copy(stack.folder / 'live/north/flags.cfg', tmp_path / 'live')
    live, config, log = tmp_path / 'live/A.cfg', tmp_path / 'hongbao.cfg', tmp_path / 'log'
    live.write_text('epoch = 1L;\nprimary = "east";\n')
    config.write_text((stack.folder / 'etc/hongbao.cfg').read_text().replace(f'{stack.folder}/metrics', f'{tmp_path}/metrics') + 'worker: { spread_ms = 60000; };\n')
    program = os.path.join(os.environ.get('HB_TEST_BUILD', hb.ROOT / 'build/default'), 'hb-worker')
    with open(log, 'wb') as out:
        process = subprocess.Popen([program, 'alert', '--config', config, '--cell', 'A', '--site', 'north', '--instance', '77', '--live', live], stderr=out)
    try:
        stack.wait(lambda: 'program.start' in log.read_text(), 'it has begun')
        new = live.with_suffix('.new')
        new.write_text('epoch = 9L;\nprimary = "north";\n')
        new.rename(live)
        stack.wait(lambda: 'program.end' in log.read_text(), 'it has stopped', pause=0.01)
        process.terminate()
        assert process.wait(10) == 0
        assert log.read_text().count('program.start') == 1, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_an_active_program_at_a_standby_site_writes_nothing(stack):
    """Told to be active at the epoch that rules, but its database is a replica: read-only, so no claim is told as done there."""
    packet = stack.open_packet(1001, 1000, 3)
    port = stack.member('A', 'north')['core_ports'][0]
    begun = said(stack, 'A-core-1-north', 'program.start')
    site(stack, 'north', 'live', 'A', 1, 'north')
    try:
        stack.wait(lambda: said(stack, 'A-core-1-north', 'program.start') > begun, 'it has begun')
        params = {'REQUEST_METHOD': 'POST', 'REQUEST_URI': f'/v1/packets/{packet}/claim', 'CONTENT_LENGTH': '0',
                  'HTTP_AUTHORIZATION': f'Bearer {stack.token(1002)}'}
        try:
            assert b'Status: 503' in hb.fastcgi(port, params)
        except OSError:
            pass  # it ends when its database refuses
    finally:
        site(stack, 'north', 'live', 'A', 1, 'east')
    assert stack.rows('A', 'SELECT COUNT(*) FROM claim WHERE packet_id = %s', (packet,))[0][0] == 0
    assert stack.claim_until(1002, packet).json['outcome'] == 'claimed'
