# Calls the kernel as a 32-bit program does (int 0x80), where every call has another number than the filter's.
import ctypes
import mmap
import os

page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b'\xb8\x14\x00\x00\x00\xcd\x80\xc3')  # mov eax, getpid; int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
child = os.fork()
if child == 0:
    call()
    os._exit(0)
print(os.WTERMSIG(os.waitpid(child, 0)[1]))
