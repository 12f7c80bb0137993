"""What runs at the sites where a cell is not active: ready, and refusing."""
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


def test_a_changed_go_live_file_makes_a_program_begin_anew(stack):
    """North's programs are told of an epoch of their own, which no database has: they must not serve. Then they are told the truth."""
    services = ('A-core-1-north', 'A-worker-sweep-north')
    pids = [stack.pid(s) for s in services]
    begun = [said(stack, s, 'program.start') for s in services]
    site(stack, 'north', 'live', 'A', 1, 'west')
    for service, pid, before in zip(services, pids, begun):
        stack.wait(lambda: said(stack, service, 'program.start') > before, f'{service} begins anew')
        assert stack.pid(service) == pid, 'in the same process, without the supervisor'
    site(stack, 'north', 'live', 'A', 1, 'east')
    stack.wait(lambda: said(stack, 'A-core-1-north', 'program.start') > begun[0] + 1, 'it is told the truth')
    stack.wait(lambda: hb.listens(stack.member('A', 'north')['core_ports'][0]), 'it listens')


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
