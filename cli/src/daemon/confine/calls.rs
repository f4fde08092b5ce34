//! Calls of the kernel, by seccomp: those that no part of the daemon makes, and that are worth most to whoever has taken it over.
//!
//! It is a list of what is refused, not of what is allowed: the unit has that one, and the C library of tomorrow may make calls of
//! which nobody knows today. Which of them is refused does not depend on what it is asked for, so the kernel looks each call up in a
//! table, and calls of a media packet cost nothing more (Linux 5.11).

use super::{Held, Plan};
use sbc_core::config::Confinement;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use std::collections::BTreeMap;

/// Refused in any case.
const REFUSED: [i64; 44] = [
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    // What is mounted where, and what a process sees of it.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Files by their numbers, past every folder.
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_acct,
    // Keys of the kernel.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Faults of memory that a thread handles, and a ring through which calls pass by this list.
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // The kernel itself, and the machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
];
/// Refused unless a program is run.
const PROGRAMS: [i64; 2] = [libc::SYS_execve, libc::SYS_execveat];

/// Refuses them to this thread and to those that it starts, or has the kernel log them.
pub(super) fn refuse(plan: &Plan) -> Result<Held, String> {
    let held = match plan.wish {
        Confinement::Log => Held::Logged,
        Confinement::On | Confinement::Off => Held::Whole,
    };
    let program = program(plan).map_err(|why| why.to_string())?;
    apply_filter(&program).map_err(|why| why.to_string())?;
    Ok(held)
}

fn program(plan: &Plan) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = match plan.wish {
        Confinement::Log => SeccompAction::Log,
        Confinement::On | Confinement::Off => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
    };
    let mut all = REFUSED.to_vec();
    if !plan.runs_programs {
        all.extend(PROGRAMS);
    }
    if !plan.loads_into_kernel {
        all.push(libc::SYS_bpf);
    }
    all.extend(shadows(&all));
    // No condition: whatever it is asked for.
    let rules: BTreeMap<i64, Vec<_>> = all.into_iter().map(|call| (call, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?;
    filter.try_into()
}

/// The same calls under the numbers that x86-64 has for programs with short pointers (x32), which are the same
/// architecture to a filter.
#[cfg(target_arch = "x86_64")]
fn shadows(all: &[i64]) -> Vec<i64> {
    const X32: i64 = 0x4000_0000;
    // Calls with pointers in what they point to have numbers of their own there.
    const OWN: [(i64, i64); 6] = [
        (libc::SYS_execve, 520),
        (libc::SYS_ptrace, 521),
        (libc::SYS_kexec_load, 528),
        (libc::SYS_process_vm_readv, 539),
        (libc::SYS_process_vm_writev, 540),
        (libc::SYS_execveat, 545),
    ];
    let own = OWN.into_iter().filter(|(call, _)| all.contains(call));
    let own = own.map(|(_, own)| own);
    let all = all.iter().copied().chain(own);
    all.map(|call| call | X32).collect()
}

/// Other architectures have one number for a call.
#[cfg(not(target_arch = "x86_64"))]
fn shadows(_: &[i64]) -> Vec<i64> {
    Vec::new()
}
