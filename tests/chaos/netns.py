"""The network between the sites of a stack that was made with HB_NETNS=1 (units/local/netns.sh): cut, made one-way, entered."""
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
# An address that no interface has: what is sent there is lost, and what comes from there still arrives.
NOBODY = '02:00:00:00:00:01'


def ip(*words):
    subprocess.run(['ip', *words], check=True, capture_output=True)


class Net:
    def __init__(self, stack):
        self.name = (stack.folder / 'netns').read_text().strip()
        self.address = {m['site']: m['host'] for c in stack.cells.values() for m in c['members']}

    def cut(self, site):
        """Nothing gets in or out any more, also on connections that stand: they are not closed, they are silent."""
        ip('link', 'set', f'{self.name}-{site}', 'down')

    def mute(self, site, towards):
        """What `site` sends to `towards` is lost; what that one sends arrives."""
        ip('-n', f'{self.name}-{site}', 'neigh', 'replace', self.address[towards], 'lladdr', NOBODY, 'dev', 'eth0', 'nud', 'permanent')

    def heal(self):
        for site in self.address:
            ip('link', 'set', f'{self.name}-{site}', 'up')
            for other in self.address.values():
                subprocess.run(['ip', '-n', f'{self.name}-{site}', 'neigh', 'del', other, 'dev', 'eth0'], capture_output=True)

    def enter(self, site):
        """This thread is at that site from now on; the others are not."""
        fd = os.open(f'/run/netns/{self.name}-{site}', os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), 'setns')
        finally:
            os.close(fd)
