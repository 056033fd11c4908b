# Sends its stdout, stderr and sockets through those very sockets, each ring held only by itself, and ends: nobody has the
# write end of stdout open any more but the kernel, which must find that out before the worker sees the end of it.
import os
import socket

pairs = [socket.socketpair() for _ in range(8)]
for index, (left, right) in enumerate(pairs):
    following = pairs[(index + 1) % len(pairs)]
    for end in (left, right):
        socket.send_fds(end, [b'x'], [1, 2, following[0].fileno(), following[1].fileno()])
listener = socket.socket(socket.AF_UNIX)
listener.bind('\0ring')
listener.listen(8)
for _ in range(8):
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect('\0ring')
    socket.send_fds(waiting, [b'x'], [1, 2, listener.fileno(), waiting.fileno()])
os.write(1, b'sent\n')
os._exit(0)
