"""Reconciliation between cells after a failover: the other cell is where its control record says, not where it started its life."""
import b2c
import cells
import hb
import pytest
from test_reconcile import impatient  # noqa: F401 the fixture

HOUR = 3600000


@pytest.fixture
def moved(stack, impatient):  # noqa: F811
    """Cell A is at another site; its old primary is dead and stays so."""
    stack.sv('down', 'A-db-east')
    done = cells.failover(stack, 'A')
    assert done.returncode == 0, done.stdout
    yield
    stack.sv('up', 'A-db-east')
    cells.whole(stack, 'A')


def credit_of_the_hour_before(stack, sender, claimer):
    """A claim whose credit went to the other cell, with its bookings put back by an hour; its number and that hour."""
    packet = b2c.packet(b2c.Campaign(stack), sender, 100, 1)
    claim = stack.claim_until(claimer, packet).json['claim']['claim_no']
    booked = 'SELECT at_ms FROM ledger WHERE source_no = %s AND kind IN (9, 10)'
    for cell in stack.cells:
        stack.wait(lambda cell=cell: stack.rows(cell, booked, (claim,)), f'it is booked in cell {cell}')
        stack.rows(cell, 'UPDATE ledger SET at_ms = at_ms - %s WHERE source_no = %s AND kind IN (9, 10)', (HOUR, claim))
    return claim, stack.rows('A', booked, (claim,))[0][0] // HOUR * HOUR


def compared(stack, cell, window):
    """What hb-worker reconcile, begun anew, finds in that hour."""
    stack.rows(cell, 'DELETE FROM recon_run WHERE domain = 2')
    stack.sv('restart', f'{cell}-worker-reconcile')
    stack.wait(lambda: stack.rows(cell, 'SELECT 1 FROM recon_run WHERE domain = 2 AND window_at = %s AND ended_at IS NOT NULL', (window,)),
               f'the hour is compared in cell {cell}', 60)
    return {(str(no), kind) for no, kind in stack.rows(cell, 'SELECT order_no, kind FROM recon_diff WHERE domain = 2 AND window_at = %s AND gone_at IS NULL',
                                                       (window,))}


def test_books_between_cells_are_compared_with_the_primary_of_now(stack, moved):
    claim, window = credit_of_the_hour_before(stack, 1001, 1501)
    for cell in stack.cells:  # the old primary is dead
        assert not {d for d in compared(stack, cell, window) if d[0] == claim}
    stack.sv('up', 'A-db-east')  # it is there again, and readmitted by nobody: it has not heard of the claim
    stack.wait(lambda: hb.listens(stack.member('A', 'east')['mysql_port']), 'the old primary answers')
    assert not stack.db('A', 'east').cursor().execute('SELECT 1 FROM ledger WHERE source_no = %s', (claim,))
    for cell in stack.cells:
        assert not {d for d in compared(stack, cell, window) if d[0] == claim}


def test_a_window_that_cannot_be_compared_shows_in_how_far_all_is_compared(stack, impatient):  # noqa: F811
    """The other cell's primary is away: told at once where the oldest window begins that is not compared, and made up for once it is back."""
    def all_to():
        return stack.metric('hb_recon_compared_time_seconds', cell='A', domain='b2c') * 1000

    stack.wait(lambda: all_to() and all_to() % HOUR == 0 and b2c.now_ms() - all_to() < HOUR, 'all hours before this one are compared')
    stack.sv('down', 'B-db')
    try:
        stack.rows('A', 'DELETE FROM recon_run WHERE domain = 2')
        stack.wait(lambda: b2c.now_ms() - all_to() >= HOUR, 'the hour before is not compared')
        assert not stack.rows('A', 'SELECT 1 FROM recon_run WHERE domain = 2 AND ended_at IS NOT NULL')
    finally:
        stack.sv('up', 'B-db')
    stack.wait(lambda: b2c.now_ms() - all_to() < HOUR, 'it is compared', 120)
