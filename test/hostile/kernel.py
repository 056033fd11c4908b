# Calls the kernel by number, past every library, and prints each call that was not refused (EPERM, or ENOSYS for what is not there).
# 1 << 32 and 1 << 40 are bits that the kernel does not look at, and that a filter that compares 64 bits would trip over.
import ctypes
import errno
import struct

libc = ctypes.CDLL(None, use_errno=True)
X32 = 0x40000000
NEWUSER = 0x10000000
SIGCHLD = 17
TIOCSTI = 0x5412
PR_SET_SECCOMP = 22
pair = (ctypes.c_int * 2)()
allow_all = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7FFF0000))
program = struct.pack('H6xQ', 1, ctypes.addressof(allow_all))

calls = {
    'x32: getpid': (X32 | 39,),
    'x32: unshare': (X32 | 272, NEWUSER),
    'x32: socket': (X32 | 41, 2, 1, 0),
    'unshare': (272, NEWUSER),
    'setns': (308, 0, 0),
    'clone into a user namespace': (56, NEWUSER | SIGCHLD, 0, 0, 0, 0),
    'the same, with a bit above': (56, 1 << 40 | NEWUSER | SIGCHLD, 0, 0, 0, 0),
    'clone into a time namespace': (56, 0x80, 0, 0, 0, 0),
    'clone3': (435, 0, 0),
    'mount': (165, b'x', b'/tmp', b'tmpfs', 0, 0),
    'umount2': (166, b'/tmp', 2),
    'pivot_root': (155, b'/tmp', b'/tmp'),
    'chroot': (161, b'/tmp'),
    'open_tree': (428, -100, b'/', 1),
    'move_mount': (429, 0, 0, 0, 0, 0),
    'fsopen': (430, b'tmpfs', 0),
    'fspick': (433, -100, b'/', 0),
    'mount_setattr': (442, 0, 0, 0, 0, 0),
    'socket, internet': (41, 2, 1, 0),
    'socket, internet with a bit above': (41, 1 << 32 | 2, 1, 0),
    'socket, netlink': (41, 16, 3, 0),
    'socket, packets': (41, 17, 3, 0),
    'socket, crypto': (41, 38, 5, 0),
    'socket, the hypervisor': (41, 40, 1, 0),
    'socket, XDP': (41, 44, 3, 0),
    'socketpair, TIPC': (53, 30, 1, 0, pair),
    'ptrace, attach': (101, 16, 1, 0, 0),
    'process_vm_readv': (310, 1, 0, 0, 0, 0, 0),
    'process_vm_writev': (311, 1, 0, 0, 0, 0, 0),
    'pidfd_open': (434, 1, 0),
    'pidfd_getfd': (438, 0, 3, 0),
    'pidfd_send_signal': (424, 0, 9, 0, 0),
    'kcmp': (312, 1, 1, 0, 0, 0),
    'bpf': (321, 0, 0, 0),
    'perf_event_open': (298, 0, 0, -1, -1, 0),
    'userfaultfd': (323, 0),
    'io_uring_setup': (425, 1, 0),
    'io_setup': (206, 1, 0),
    'keyctl': (250, 0, -3, 0),
    'add_key': (248, b'user', b'x', b'x', 1, -3),
    'request_key': (249, b'user', b'x', 0, -3),
    'memfd_create': (319, b'x', 0),
    'memfd_secret': (447, 0),
    'personality, no randomisation': (135, 0x0040000),
    'seccomp': (317, 1, 0, program),
    'prctl, a filter': (157, PR_SET_SECCOMP, 2, program, 0, 0),
    'prctl, a filter with a bit above': (157, 1 << 32 | PR_SET_SECCOMP, 2, program, 0, 0),
    'inotify_init': (253,),
    'inotify_init1': (294, 0),
    'fanotify_init': (300, 0, 0),
    'cachestat': (451, 0, 0, 0, 0),
    'name_to_handle_at': (303, -100, b'/', 0, 0, 0),
    'open_by_handle_at': (304, -100, 0, 0),
    'ioctl, KVM': (16, 1, 0xAE01, 0),
    'ioctl, typing': (16, 0, TIOCSTI, b'x'),
    'ioctl, typing with a bit above': (16, 0, 1 << 32 | TIOCSTI, b'x'),
    'init_module': (175, 0, 0, b''),
    'finit_module': (313, 0, b'', 0),
    'kexec_load': (246, 0, 0, 0, 0),
    'reboot': (169, 0, 0, 0, 0),
    'syslog': (103, 3, 0, 0),
    'swapon': (167, b'/tmp/x', 0),
    'quotactl_fd': (443, 0, 0, 0, 0),
    'acct': (163, 0),
    'settimeofday': (164, 0, 0),
    'clock_adjtime': (305, 0, 0),
    'ioperm': (173, 0, 1, 1),
    'iopl': (172, 3),
    'modify_ldt': (154, 0, 0, 0),
    'move_pages': (279, 0, 0, 0, 0, 0, 0),
    'vmsplice': (278, 1, 0, 0, 0),
    'sethostname': (170, b'x', 1),
    'setgroups': (116, 0, 0),
    'mlockall': (151, 3),
    'mknod, a device': (133, b'/mnt/data/device', 0o20666, 1 << 8 | 1),
    'a real-time schedule': (144, 0, 1, struct.pack('i', 1)),
    'a real-time disk priority': (251, 1, 0, 1 << 13),
    'more open files': (302, 0, 7, struct.pack('QQ', 1 << 20, 1 << 20), 0),
    'more processes': (302, 0, 6, struct.pack('QQ', 1 << 20, 1 << 20), 0),
    'locked memory': (302, 0, 8, struct.pack('QQ', 1 << 20, 1 << 20), 0),
}
for name, (number, *arguments) in calls.items():
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print(name, result, errno.errorcode.get(ctypes.get_errno()), flush=True)
