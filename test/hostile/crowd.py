# Makes as many files, links, pipes and directories as it can.
import os

os.chdir('/mnt/data')
with open('first', 'w') as file:
    file.write('x')
try:
    for number in range(100_000):
        (
            lambda: open(f'file{number}', 'w').close(),
            lambda: os.symlink('/etc/passwd', f'link{number}'),
            lambda: os.mkfifo(f'pipe{number}'),
            lambda: os.mkdir(f'directory{number}'),
            lambda: os.link('first', f'again{number}'),
        )[number % 5]()
except OSError as error:
    print(error.strerror)
