"""Whoever still asks the programs of the old site: clients there, past nginx; and a straggler, an hb-core that has missed every go-live
file since the run began, is started again whenever it ends, and must write nothing once another epoch rules."""
import os
import random
import subprocess
import threading
import time

PAUSE_S = 0.05
PORT = 9000  # of the straggler, in its site's own namespace


class Direct:
    """A client that is at the site and asks a cell's hb-core there."""

    def __init__(self, scene, load, ports, name, seed):
        self.scene, self.load, self.ports, self.name = scene, load, ports, name
        self.rng, self.over = random.Random(seed), False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        s, at = self.scene, 0
        s.net.enter(s.home)
        while not self.over:
            packets = self.load.packets[s.cell][-6:]
            if packets:
                op = self.load.new_claim(self.rng.choice(packets), self.rng)
                op.patient = False
                at += 1
                self.load.ask_directly(op, self.ports[at % len(self.ports)], self.name, s.stack.member(s.cell, s.home)['host'])
            time.sleep(PAUSE_S)

    def stop(self):
        self.over = True
        self.thread.join()


class Straggler:
    def __init__(self, scene, load, seed):
        s, folder = scene, scene.stack.folder / 'run/straggler'
        folder.mkdir(exist_ok=True)
        member = s.stack.member(s.cell, s.home)
        self.scene, self.ports = s, [PORT]
        topology = (s.stack.folder / 'etc/topology.cfg').read_text()
        cores = 'core_ports = [ ' + ', '.join(map(str, member['core_ports'])) + ' ]'
        assert cores in topology
        (folder / 'topology.cfg').write_text(topology.replace(cores, f'core_ports = [ {self.ports[0]} ]'))
        config = (s.stack.folder / 'etc/hongbao.cfg').read_text()
        config = config.replace(f'{s.stack.folder}/etc/topology.cfg', f'{folder}/topology.cfg').replace(f'{s.stack.folder}/metrics', f'{folder}/metrics')
        (folder / 'hongbao.cfg').write_text(config)
        (folder / 'metrics').mkdir(exist_ok=True)
        (folder / f'{s.cell}.cfg').write_text((s.stack.folder / f'live/{s.home}/{s.cell}.cfg').read_text())
        self.command = (f". '{s.stack.folder}/etc/env'; exec nsenter --net=/run/netns/{s.net.name}-{s.home} hb-core --config {folder}/hongbao.cfg "
                        f'--cell {s.cell} --site {s.home} --instance 1 --live {folder}/{s.cell}.cfg')
        self.log, self.over, self.starts = open(folder / 'log', 'ab'), False, 0
        self.thread = threading.Thread(target=self.supervise)
        self.thread.start()
        self.client = Direct(s, load, self.ports, 'straggler', f'{seed} straggler')

    def supervise(self):
        while not self.over:
            self.starts += 1
            process = subprocess.Popen(['/bin/sh', '-c', self.command], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                       env={**os.environ, 'HB_SUPERVISED': str(self.scene.stack.folder)})
            while process.poll() is None and not self.over:
                time.sleep(0.05)
            if process.poll() is None:
                process.kill()
                process.wait()
            time.sleep(0.1)

    def stop(self):
        self.client.stop()
        self.over = True
        self.thread.join()
        self.log.close()
