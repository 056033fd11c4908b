# Nests directories far beyond the longest path.
import os

os.chdir('/mnt/data')
try:
    for _ in range(20_000):
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
except OSError as error:
    print(error.strerror)
