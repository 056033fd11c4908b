# Leaves one of everything that is no plain file, or that is one but tries not to be read, in place of its program too.
import os
import socket

os.chdir('/mnt/data')
for name, target in (('passwd', '/etc/passwd'), ('environ', '/proc/self/environ'), ('up', '..'), ('root', '/'), ('loop', 'loop'), ('gone', 'gone/x')):
    os.symlink(target, name)
os.mkfifo('pipe')
socket.socket(socket.AF_UNIX).bind('socket')
os.unlink('main.py')
os.symlink('/proc/self/environ', 'main.py')
with open('sparse', 'wb') as file:
    file.truncate(30 << 20)
for attempt in (lambda: os.truncate('sparse', 1 << 50), lambda: os.link('/etc/passwd', 'linked'), lambda: os.rename('/mnt/data', '/mnt/other'), lambda: os.setxattr('sparse', 'security.capability', b'x' * 20)):
    try:
        attempt()
        print('allowed')
    except OSError:
        pass
os.mkdir('shut')
with open('shut/unreadable', 'w') as file:
    file.write('x')
os.chmod('shut/unreadable', 0)
os.chmod('shut', 0)
with open('setuid', 'w') as file:
    file.write('x')
os.chmod('setuid', 0o6777)
os.chmod('.', 0)
