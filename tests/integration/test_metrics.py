"""What /metrics shows of a running site: well-formed for Prometheus, and true of tables, queues and replicas."""
import subprocess
import time

import hb


def until(what, holds, seconds=40):
    end = time.monotonic() + seconds * hb.SLOW
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def test_promtool_finds_nothing_to_blame(stack):
    text = stack.ops_http.call('GET', '/metrics').body
    told = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True)
    assert told.returncode == 0 and told.stdout + told.stderr == b'', (told.stdout + told.stderr)[:2000]


def test_the_watch_of_each_cell_measures_everything(stack):
    for cell, site in ((c, stack.active(c)) for c in stack.cells):
        def value(name, **labels):
            return stack.metric(name, cell=cell, site=site, program='hb-worker-watch', **labels)
        until(f'{cell}: two replicas acknowledge', lambda: value('hb_semi_sync_clients') == 2)
        until(f'{cell}: queues', lambda: value('hb_queue_consumers', queue='check') >= 1)
        until(f'{cell}: control record', lambda: value('hb_control_epoch') == value('hb_epoch') >= 1)
        assert value('hb_control_protected') == 1
        assert value('hb_control_in_sync_members') == 3
        until(f'{cell}: the flow between the cells', lambda: value('hb_conservation_checked_time_seconds') > time.time() - 600)
        assert value('hb_conservation_excess_fen') == 0
        until(f'{cell}: a walk', lambda: value('hb_conservation_packets_total') > 0 or not stack.rows(cell, 'SELECT 1 FROM packet LIMIT 1'))
        assert value('hb_conservation_broken_packets') == 0


def test_every_replica_says_how_far_it_is_behind(stack):
    text = stack.ops_http.call('GET', '/metrics').body.decode()
    ages = [l for l in text.splitlines() if l.startswith('hb_heartbeat_age_seconds{program="hb-worker-watch"')]
    assert len(ages) == sum(len(c['members']) for c in stack.cells.values()), ages
    assert all(-1 < float(l.split()[-1]) < 10 * hb.SLOW for l in ages), ages


def test_an_unpaid_packet_is_counted_and_a_stuck_order_waits_for_a_person(stack):
    cell = next(iter(stack.cells))
    unpaid = stack.rows(cell, 'SELECT COUNT(*) FROM packet WHERE state = 1')[0][0]
    until('unpaid packets', lambda: stack.metric('hb_orders', cell=cell, kind='packet', state='unpaid') == unpaid)
    parked = stack.rows(cell, 'SELECT COUNT(*) FROM parked')[0][0]
    until('parked messages', lambda: stack.metric('hb_open_matters', cell=cell, what='parked') == parked)


def test_a_consumer_that_is_stopped_is_missed_and_its_program_is_down(stack):
    cell = next(iter(stack.cells))
    service = f'{cell}-worker-issue'
    until('a consumer', lambda: stack.metric('hb_queue_consumers', cell=cell, queue='issue') == 1)
    stack.sv('down', service)
    try:
        until('no consumer', lambda: stack.metric('hb_queue_consumers', cell=cell, queue='issue') == 0)
        assert stack.metric('hb_up', cell=cell, site=stack.active(cell), program='hb-worker-issue') == 0
    finally:
        stack.sv('up', service)
    until('up again', lambda: stack.metric('hb_queue_consumers', cell=cell, queue='issue') == 1)
    assert stack.metric('hb_up', cell=cell, site=stack.active(cell), program='hb-worker-issue') == 1


def ops(port, path):
    """From a program itself, as nginx's operations listener asks it."""
    return hb.fastcgi(port, {'REQUEST_METHOD': 'GET', 'REQUEST_URI': path, 'HB_OPS': '1'})


def test_a_standby_tells_of_its_site(stack):
    for cell in stack.cells.values():
        for member in cell['members']:
            shown = ops(member['query_ports'][0], '/metrics')
            assert b'Status: ' not in shown.split(b'\r\n\r\n')[0] or b'Status: 200' in shown, shown[:300]
            assert f'hb_up{{program="hb-query",cell="{cell["name"]}",site="{member["site"]}",instance="1"}} 1'.encode() in shown
            if member['site'] != stack.active(cell['name']):
                assert b'"status":"ok"' in ops(member['query_ports'][0], '/healthz')
                asked = hb.fastcgi(member['query_ports'][0], {'REQUEST_METHOD': 'GET', 'REQUEST_URI': '/metrics'})
                assert b'Status: 503' in asked and b'CELL_UNAVAILABLE' in asked, asked[:300]


def test_each_operations_listener_tells_of_its_own_site(stack):
    """The hb-query of B, which is active at west, is gone: west is not well, all the time, but still measured; east is well, all the time."""
    doors = {d['site']: hb.Client(f'http://{d["host"]}:{d["ops_port"]}') for d in stack.doors}
    site = stack.active('B')
    others = [s for s in doors if s != site]
    assert others

    def told(path):
        return {s: [d.call('GET', path).status for _ in range(4)] for s, d in doors.items()}
    well = {s: [200] * 4 for s in doors}
    until('all are well', lambda: told('/healthz') == well)
    stack.sv('down', 'B-query-1')
    try:
        until('it is noticed', lambda: told('/healthz')[site] == [503] * 4)
        assert told('/healthz') == {**well, site: [503] * 4}
        assert told('/metrics') == well
    finally:
        stack.sv('up', 'B-query-1')
    until('all are well again', lambda: told('/healthz') == well)


def test_who_watches_does_not_look_like_users(stack):
    def counted():
        return stack.metric('hb_http_requests_total', cell='A', site=stack.active('A'), program='hb-query')
    before = counted()
    for _ in range(20):
        ops(stack.member('A')['query_ports'][0], '/healthz')
    assert counted() - before < 20


def test_the_status_of_a_site_is_what_is_so(stack):
    for door in stack.doors:
        client = hb.Client(f'http://{door["host"]}:{door["ops_port"]}')
        status = client.call('GET', '/ops/v1/status').json
        assert (status['site'], status['healthy']) == (door['site'], True) and status['version'], status
        assert [c['cell'] for c in status['cells']] == [n for n, c in stack.cells.items() if door['site'] in [m['site'] for m in c['members']]]
        for cell in status['cells']:
            here = stack.active(cell['cell']) == door['site']
            assert (cell['active'], cell['served'], cell['programs_down'], cell['down']) == (here, here, 0, []), cell
            assert cell['programs_up'] >= 20 and cell['epoch'] >= 1 and cell['member_up'] == 1, cell
            assert [k in cell for k in ('outbox_rows', 'queue_messages', 'orders', 'breakers_open')] == [here] * 4, cell
            assert cell['flags_off_percent']['claim'] == 0 and (not here or cell['breakers_open']['finance'] == 0), cell
        flags = client.call('GET', '/ops/v1/flags').json
        assert flags['site'] == door['site'] and flags['bad'] is None and 'claim' in [f['flag'] for f in flags['flags']], flags
        page = client.call('GET', '/')
        assert page.status == 200 and b'/console/console.js' in page.body and "script-src 'self'" in page.headers['content-security-policy']
        for path in ('/console/console.js', '/console/console.css', '/app.css', '/js/dom.js', '/icon.svg'):
            assert client.call('GET', path).status == 200, path
        for path in ('/js/main.js', '/console/', '/console/index.html', '/ops/v1/', '/ops/v1/status/x', '/index.html', '/v1/me/seed'):
            assert client.call('GET', path).status == 404, path
        assert client.call('POST', '/ops/v1/status', raw=b'').status == 405


def test_the_status_names_a_program_that_is_gone(stack):
    cell = next(iter(stack.cells))
    service = f'{cell}-worker-issue'

    def down():
        return next(c for c in stack.ops_http.call('GET', '/ops/v1/status').json['cells'] if c['cell'] == cell)['down']
    assert stack.active(cell) == stack.doors[0]['site'] and down() == []
    stack.sv('down', service)
    try:
        until('it is missed', lambda: down() == ['hb-worker-issue 1'])
    finally:
        stack.sv('up', service)
    until('it is back', lambda: down() == [])
