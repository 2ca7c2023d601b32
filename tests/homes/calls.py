"""System calls that the homes lack, as their sources and documentation say."""

import errno

OCCLUM_ABSENT = """
mincore pause getitimer alarm setitimer semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
getrusage times ptrace syslog setuid setgid setsid setreuid setregid setgroups setresuid setresgid
setfsuid setfsgid setns settimeofday sethostname setdomainname getresuid getresgid getsid getpmsg
get_thread_area get_mempolicy get_kernel_syms capget capset rt_sigqueueinfo rt_tgsigqueueinfo mknod
mknodat uselib personality ustat sysfs sched_setparam sched_getparam sched_setscheduler
sched_getscheduler sched_setattr sched_getattr sched_get_priority_max sched_get_priority_min
sched_rr_get_interval mlock munlock mlockall munlockall mlock2 vhangup modify_ldt pivot_root _sysctl
adjtimex clock_adjtime clock_settime chroot acct swapon swapoff reboot iopl ioperm create_module
init_module delete_module query_module finit_module quotactl nfsservctl putpmsg afs_syscall tuxcall
security readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
flistxattr removexattr lremovexattr fremovexattr set_thread_area io_setup io_destroy io_getevents
io_submit io_cancel lookup_dcookie epoll_ctl_old epoll_wait_old remap_file_pages restart_syscall
fadvise64 timer_create timer_settime timer_gettime timer_getoverrun timer_delete vserver mbind
set_mempolicy migrate_pages move_pages mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
mq_getsetattr kexec_load kexec_file_load waitid add_key request_key keyctl ioprio_set ioprio_get
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark unshare
splice tee vmsplice sync_file_range syncfs signalfd signalfd4 perf_event_open recvmmsg
name_to_handle_at open_by_handle_at process_vm_readv process_vm_writev kcmp seccomp renameat2
memfd_create bpf execveat userfaultfd membarrier copy_file_range preadv2 pwritev2 pkey_mprotect
pkey_alloc pkey_free statx
"""

OCCLUM_LAST = 334  # rseq; beyond it Occlum answers EINVAL
NEWEST = 462
CLONE3 = 435

GRAMINE_ABSENT = """
mremap shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
getrusage statx rseq membarrier io_setup io_destroy io_submit io_getevents io_cancel inotify_init
inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark signalfd signalfd4
memfd_create setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
flistxattr removexattr lremovexattr fremovexattr flock execveat userfaultfd bpf perf_event_open
process_vm_readv process_vm_writev ptrace splice tee vmsplice renameat2 copy_file_range preadv2
pwritev2 mlock2 pkey_mprotect pkey_alloc pkey_free seccomp timer_create timer_settime timer_delete
"""


def occlum() -> dict[str, int]:
    """Errors by name or number. On glibc 2.34 and newer clone3 must be absent, not invalid."""
    absent = dict.fromkeys(OCCLUM_ABSENT.split(), errno.ENOSYS)
    invalid = {str(number): errno.EINVAL for number in range(OCCLUM_LAST + 1, NEWEST)}
    return {**absent, **invalid, str(OCCLUM_LAST): errno.ENOSYS, str(CLONE3): errno.ENOSYS}


def gramine() -> dict[str, int]:
    """Errors by name or number; all that is newer than Gramine knows is absent."""
    absent = dict.fromkeys(GRAMINE_ABSENT.split(), errno.ENOSYS)
    return {**absent, **{str(number): errno.ENOSYS for number in range(424, NEWEST)}}
