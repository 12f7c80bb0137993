"""As much of AMQP 0-9-1 as it takes to delete a queue, and to be a consumer that never comes to an end with a message. rabbitmqctl would
start an Erlang machine for it, seconds of a busy processor."""
import socket
import struct


def short(text):
    return bytes([len(text)]) + text.encode()


def long(data):
    return struct.pack('>I', len(data)) + data


class Connection:
    def __init__(self, port, user, password, vhost, timeout):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        self.socket.sendall(b'AMQP\0\0\x09\x01')
        self.wait(10, 10)
        self.send(0, 10, 11, long(b'') + short('PLAIN') + long(f'\0{user}\0{password}'.encode()) + short('en_US'))
        tune = self.wait(10, 30)
        self.send(0, 10, 31, tune[:8])
        self.send(0, 10, 40, short(vhost) + short('') + b'\0')
        self.wait(10, 41)
        self.send(1, 20, 10, short(''))
        self.wait(20, 11)

    def send(self, channel, cls, method, arguments):
        payload = struct.pack('>HH', cls, method) + arguments
        self.socket.sendall(struct.pack('>BHI', 1, channel, len(payload)) + payload + b'\xce')

    def read(self, n):
        data = b''
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise ConnectionError('RabbitMQ closed the connection')
            data += more
        return data

    def wait(self, cls, method):
        """The arguments of the next frame of that method."""
        while True:
            kind, _, size = struct.unpack('>BHI', self.read(7))
            payload = self.read(size + 1)[:-1]
            got = struct.unpack('>HH', payload[:4]) if kind == 1 else None
            if got == (cls, method):
                return payload[4:]
            if got and got[1] == 40 and got[0] in (20,) or got == (10, 50):
                raise ConnectionError(f'RabbitMQ refused: {payload!r}')

    def take(self, queue):
        """The delivery tag of a message, or None."""
        self.send(1, 60, 70, struct.pack('>H', 0) + short(queue) + b'\0')
        while True:
            kind, _, size = struct.unpack('>BHI', self.read(7))
            payload = self.read(size + 1)[:-1]
            if kind == 1 and payload[:4] == struct.pack('>HH', 60, 72):
                return None
            if kind == 1 and payload[:4] == struct.pack('>HH', 60, 71):
                return struct.unpack('>Q', payload[4:12])[0]

    def give_back(self, tag):
        self.send(1, 60, 90, struct.pack('>QB', tag, 1))

    def drop(self, tag):
        self.send(1, 60, 80, struct.pack('>QB', tag, 0))

    def close(self):
        self.socket.close()


def connect(ports, user, password, vhost, timeout):
    """To the first node that takes it."""
    for at, port in enumerate(ports, 1):
        try:
            return Connection(port, user, password, vhost, timeout)
        except OSError:
            if at == len(ports):
                raise


def connect_to(stack, timeout=30):
    password = (stack.folder / 'secrets/mq.hongbao').read_text().strip()
    return connect([node['port'] for node in stack.topology['mq']], 'hongbao', password, 'hongbao', timeout)


def delete_queue(ports, user, password, vhost, queue, timeout=10):
    """How many messages were in it."""
    connection = connect(ports, user, password, vhost, timeout)
    try:
        connection.send(1, 50, 40, struct.pack('>H', 0) + short(queue) + b'\0')
        return struct.unpack('>I', connection.wait(50, 41)[:4])[0]
    finally:
        connection.close()
