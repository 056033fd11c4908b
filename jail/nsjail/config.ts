import { kafelPolicy } from './policy.ts'

/** What nsjail needs to know to open one cell. Paths are the host's, sizes in bytes */
export type CellSpec = {
  /** The composed runtime packages: the jail's root, read-only */
  readonly root: string
  readonly workspace: string
  /** Static binary that becomes PID 1 */
  readonly stub: string
  /** Outside user and group id; inside they are {@link INSIDE_ID} */
  readonly uid: number
  readonly pids: number
  readonly openFiles: number
  /** Largest file */
  readonly fileBytes: number
  /** Size of `/tmp`, and of `/dev/shm` */
  readonly scratchBytes: number
}

export const WORKSPACE = '/mnt/data'
const INSIDE_ID = 1000
const MIB = 1024 * 1024

const quote = (text: string): string => JSON.stringify(text)

/** nsjail's configuration for a cell, in protobuf's text form (google/nsjail config.proto). Whatever is not opened here stays shut */
export const nsjailConfig = (spec: CellSpec): string => `
mode: ONCE
hostname: "sandbox"
cwd: ${quote(WORKSPACE)}
# no limit here: a cell may wait for its program; the worker's own timer ends the run
time_limit: 0
# its default, 19, would starve every program
nice_level: 0
log_level: ERROR
keep_env: false
keep_caps: false
disable_no_new_privs: false
clone_newnet: true
clone_newuser: true
clone_newns: true
clone_newpid: true
clone_newipc: true
clone_newuts: true
# nsjail is started inside the job's cgroup, which thereby becomes the root that the program sees
clone_newcgroup: true
# not even loopback: no program can reach another by an address
iface_no_lo: true
uidmap { inside_id: "${INSIDE_ID}" outside_id: "${spec.uid}" count: 1 }
gidmap { inside_id: "${INSIDE_ID}" outside_id: "${spec.uid}" count: 1 }

# JavaScript engines reserve address space by the gigabyte; memory is the cgroup's business
rlimit_as_type: INF
# each process for itself; the worker watches the sum
rlimit_cpu_type: INF
rlimit_core: 0
rlimit_memlock: 0
rlimit_memlock_type: VALUE
rlimit_stack_type: SOFT
rlimit_fsize: ${Math.max(1, Math.ceil(spec.fileBytes / MIB))}
rlimit_nofile: ${spec.openFiles}
# without the type the value would be ignored
rlimit_nproc: ${spec.pids}
rlimit_nproc_type: VALUE
rlimit_msgqueue: 0
rlimit_msgqueue_type: VALUE

# interpreters, libraries, tools, fonts; submounts (one package each) come along
mount { src: ${quote(spec.root)} dst: "/" is_bind: true rw: false nosuid: true }
# interpreters read /proc/self; with subset=pid it holds the program's own processes and nothing of the machine
mount { dst: "/proc" fstype: "proc" options: "subset=pid" rw: false nosuid: true nodev: true noexec: true }
# temporary files; charged to the job's memory
mount { dst: "/tmp" fstype: "tmpfs" rw: true options: "size=${spec.scratchBytes},nr_inodes=16384,mode=1777" nosuid: true nodev: true }
# POSIX shared memory and semaphores: multiprocessing
mount { dst: "/dev/shm" fstype: "tmpfs" rw: true options: "size=${spec.scratchBytes},nr_inodes=4096,mode=1777" nosuid: true nodev: true noexec: true }
# the program's files, in and out
mount { src: ${quote(spec.workspace)} dst: ${quote(WORKSPACE)} is_bind: true rw: true nosuid: true nodev: true }

# the stub's half of the control channel; closed before the program starts
pass_fd: 3
seccomp_string: ${quote(kafelPolicy())}
# arg0: programs read /proc/1/cmdline, and learn no path of the host from it
exec_bin { path: ${quote(spec.stub)} arg0: "stub" exec_fd: true }
`
