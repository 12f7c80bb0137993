"""What the programs do not believe a clock about."""
import signal
import time


def now_ms():
    return int(time.time() * 1000)


def test_a_heartbeat_of_the_future_is_not_believed(stack):
    """So it looks after the clocks were set back, while no heartbeat comes any more."""
    packet = stack.open_packet(1001, 100, 2)
    stack.kill('A-worker-heartbeat', signal.SIGSTOP)
    try:
        stack.rows('A', 'UPDATE heartbeat SET at_ms = %s', (now_ms() + 3600_000,))
        stack.wait(lambda: stack.call('GET', f'/v1/packets/{packet}', 1001).code == 'CELL_UNAVAILABLE', 'reads are refused', seconds=10)
    finally:
        stack.kill('A-worker-heartbeat', signal.SIGCONT)
    stack.wait(lambda: stack.call('GET', f'/v1/packets/{packet}', 1001).status == 200, 'reads are back')


def test_the_seed_is_not_revealed_while_a_claim_may_still_commit(stack):
    """Past its time but still open: a claim that came in time may be waiting in its lane."""
    packet = stack.open_packet(1001, 100, 2)
    fairness = lambda: stack.call('GET', f'/v1/packets/{packet}/fairness', 1001).json  # noqa: E731
    stack.kill('A-worker-sweep', signal.SIGSTOP)
    try:
        stack.rows('A', 'UPDATE packet SET expires_at = %s WHERE packet_id = %s', (now_ms() - 1000, packet))
        assert stack.call('GET', f'/v1/packets/{packet}', 1001).json['packet']['state'] == 'expired'
        told = fairness()
        assert told['revealed'] is False and told['seed'] is None and 'shares' not in told
    finally:
        stack.kill('A-worker-sweep', signal.SIGCONT)
    stack.wait(lambda: fairness()['revealed'], 'the seed is revealed')
