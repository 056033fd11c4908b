# Fills the jail with processes that ignore all signals, have sessions of their own and pester PID 1, ends its first thread but
# not its first process, and writes a file later.
import ctypes
import os
import signal
import threading
import time

for number in range(1, 65):
    try:
        os.kill(1, number)
    except OSError:
        pass
for _ in range(25):
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            os.kill(1, signal.SIGCHLD)
            time.sleep(0.001)


def late():
    time.sleep(0.5)
    with open('/mnt/data/late.txt', 'w') as file:
        file.write('x')
    os.write(1, b'late\n')


threading.Thread(target=late).start()
ctypes.CDLL(None).syscall(60, 0)
