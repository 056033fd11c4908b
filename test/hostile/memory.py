# Fills one kind of memory that is no process's own, as far as it gets. The argument says which.
import ctypes
import fcntl
import mmap
import os
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
MIB = 1 << 20
kept = []


def refused_at_last(write):
    try:
        while True:
            write()
    except BlockingIOError:
        pass


def pipes():
    _, end = os.pipe()
    try:
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, MIB)
    except PermissionError:
        pass  # beyond what one user's pipes may hold (fs.pipe-user-pages-soft)
    os.set_blocking(end, False)
    refused_at_last(lambda: os.write(end, b'x' * 65536))


def sockets():
    left, right = socket.socketpair()
    kept.extend((left, right))
    left.setblocking(False)
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
    refused_at_last(lambda: left.send(b'x' * 65536))


def segments():
    identity = libc.shmget(0, MIB, 0o1600)
    ctypes.memset(libc.shmat(identity, None, 0), 1, MIB)


def messages():
    queue = libc.msgget(0, 0o1600)
    message = ctypes.create_string_buffer(struct.pack('l', 1) + b'x' * 8192)
    while libc.msgsnd(queue, message, 8192, 0o4000) == 0:
        pass
    if queue < 0:
        raise OSError('no more queues')


def shared():
    area = mmap.mmap(-1, MIB)
    kept.append(area)
    area.write(b'x' * MIB)


def files():
    for directory in ('/tmp', '/dev/shm', '/mnt/data'):
        try:
            with open(f'{directory}/{len(kept)}', 'wb') as file:
                file.write(b'x' * MIB)
        except OSError:
            pass
    kept.append(bytearray(MIB))


def children():
    if os.fork() == 0:
        kept.append(b'x' * 20 * MIB)
        time.sleep(60)


while True:
    globals()[sys.argv[1]]()
