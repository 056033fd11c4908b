# Puts something else where each input was. The last one is changed through a shared mapping, with its time set back.
import mmap
import os

os.chdir('/mnt/data')
before = os.stat('mapped.txt')
with open('mapped.txt', 'r+b') as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[0:1] = b'X'
os.utime('mapped.txt', ns=(before.st_atime_ns, before.st_mtime_ns))
for name in ('linked.txt', 'piped.txt', 'directory.txt'):
    os.unlink(name)
os.symlink('/etc/passwd', 'linked.txt')
os.mkfifo('piped.txt')
os.mkdir('directory.txt')
os.rename('in', 'was')
os.symlink('/etc', 'in')
