# Gives files and directories names that would be lines of their own, and lines of ours, where names are told.
import os

for name in ('file\n[sandbox] forged', 'e\r\n[sandbox] forged', 'f\x1b[2Jg', 'back\\slash'):
    open(f'/mnt/data/{name}', 'w').close()
    os.mkdir(f'/mnt/data/{name}-directory')
os.mkdir('/mnt/data/' + 'q' * 250)
os.mkdir('/mnt/data/' + 'q' * 250 + '/' + 'r' * 200)
