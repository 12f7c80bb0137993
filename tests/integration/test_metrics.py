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
