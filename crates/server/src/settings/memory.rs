//! What the broker takes of the machine's memory. On a small machine, or in a small control group, everything that holds
//! records gets smaller, so that the kernel never has to end the process.
//!
//! ```text
//!                              of 256 MiB   of 2 GiB and more
//! requests and replies   1/8       32 MiB             256 MiB   and one frame beyond, and one batch of a reply
//! newest records         1/8       32 MiB             192 MiB   half as much again for idle buffers and for sealing
//! consumer groups       1/16       16 MiB             128 MiB   members and offsets, as far as they are counted
//! one frame                        33 MiB             100 MiB
//! one segment           1/16       16 MiB              64 MiB   what is sealed at once
//! ```

use std::path::{Path, PathBuf};

use super::Settings;

const MIB: u64 = 1024 * 1024;
const REQUESTS_MIN: u64 = 16 * MIB;
const REQUESTS_MAX: u64 = 256 * MIB;
const TAIL_MIN: u64 = 8 * MIB;
const TAIL_MAX: u64 = 192 * MIB;
const GROUPS_MIN: u64 = 8 * MIB;
const GROUPS_MAX: u64 = 128 * MIB;
const SEGMENT_MIN: u64 = 8 * MIB;
const SEGMENT_MAX: u64 = 64 * MIB;
/// The largest batch and what is around it in a request.
const FRAME_MIN: u64 = firth_log::FRAME_BYTES_MAX as u64 + MIB;
/// The limit that Apache Kafka has by default.
const FRAME_MAX: u64 = 100 * MIB;
/// Where the system does not say what it has.
const UNKNOWN: u64 = u64::MAX;

/// Bytes for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// What they are shares of.
    pub total: u64,
    /// Requests in flight, and replies that are not written yet.
    pub requests: usize,
    /// The newest records, for those who read them at once.
    pub tail: usize,
    /// Members and offsets of consumer groups.
    pub groups: usize,
    pub frame: usize,
    pub segment: u64,
}

impl Shares {
    pub(crate) fn of(settings: &Settings) -> Shares {
        let total = settings.memory.map_or_else(available, |memory| memory.0);
        let requests = settings.request_memory.map(|requests| requests.0);
        Shares::of_bytes(total, requests)
    }

    fn of_bytes(total: u64, requests: Option<u64>) -> Shares {
        let usual = (total / 8).clamp(REQUESTS_MIN, REQUESTS_MAX);
        Shares {
            total,
            requests: to_usize(requests.unwrap_or(usual)),
            tail: to_usize((total / 8).clamp(TAIL_MIN, TAIL_MAX)),
            groups: to_usize((total / 16).clamp(GROUPS_MIN, GROUPS_MAX)),
            frame: to_usize((total / 16).clamp(FRAME_MIN, FRAME_MAX)),
            segment: (total / 16).clamp(SEGMENT_MIN, SEGMENT_MAX),
        }
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What the machine has, or the control group allows.
fn available() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = physical(&read("/proc/meminfo")).unwrap_or(UNKNOWN);
    let groups = directories(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    groups
        .iter()
        .filter_map(|group| limit(group))
        .fold(machine, u64::min)
}

fn physical(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The control groups that limit this process, from its own to the root of what is mounted: of version 1 those of its
/// controller for memory, of version 2 all.
fn directories(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for mount in mountinfo.lines().filter_map(Mount::parse) {
        let of_mount = |line: &str| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let is_it = match mount.version {
                1 => controllers.split(',').any(|controller| controller == "memory"),
                _ => controllers.is_empty(),
            };
            is_it.then(|| PathBuf::from(path))
        };
        let Some(path) = cgroup.lines().find_map(of_mount) else {
            continue;
        };
        // In a container the mount may begin at its group, and the path may be that of the host.
        let below = path.strip_prefix(mount.root).unwrap_or(Path::new(""));
        let below = below.strip_prefix("/").unwrap_or(below);
        let groups = below.ancestors().map(|group| Path::new(mount.point).join(group));
        directories.extend(groups);
    }
    directories
}

/// A line of `/proc/self/mountinfo` about control groups that may limit memory.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    version: u8,
}

impl Mount<'_> {
    fn parse(line: &str) -> Option<Mount<'_>> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut fields = file_system.split(' ');
        let version = match fields.next()? {
            "cgroup" if fields.nth(1)?.split(',').any(|option| option == "memory") => 1,
            "cgroup2" => 2,
            _ => return None,
        };
        Some(Mount { root, point, version })
    }
}

/// Bytes that a control group allows, if it has a limit.
fn limit(group: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let text = read("memory.max").or_else(|| read("memory.limit_in_bytes"))?;
    // Version 2 says "max" where there is none, version 1 a number that no machine has.
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_shrink_with_the_memory_and_are_bounded_on_both_sides() {
        let mib = |shares: Shares| {
            let mib = MIB as usize;
            let (requests, tail) = (shares.requests / mib, shares.tail / mib);
            (requests, tail, shares.frame / mib, shares.segment / MIB)
        };
        assert_eq!(mib(Shares::of_bytes(64 * MIB, None)), (16, 8, 33, 8));
        assert_eq!(mib(Shares::of_bytes(256 * MIB, None)), (32, 32, 33, 16));
        assert_eq!(mib(Shares::of_bytes(1024 * MIB, None)), (128, 128, 64, 64));
        assert_eq!(mib(Shares::of_bytes(2048 * MIB, None)), (256, 192, 100, 64));
        assert_eq!(mib(Shares::of_bytes(UNKNOWN, None)), (256, 192, 100, 64));
        assert_eq!(
            mib(Shares::of_bytes(UNKNOWN, Some(MIB))),
            (1, 192, 100, 64),
            "what is asked for is given"
        );
    }

    #[test]
    fn the_memory_of_the_machine_is_read() {
        let meminfo = "MemTotal:       24684084 kB\nMemFree:        21417788 kB\n";
        assert_eq!(physical(meminfo), Some(24_684_084 * 1024));
        assert_eq!(physical("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn groups_of_both_versions_are_found_up_to_their_root() {
        let mountinfo = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let found = directories("5:cpu:/x\n4:memory:/a/b\n0::/c\n", mountinfo);
        let expected = [
            "/sys/fs/cgroup/memory/a/b",
            "/sys/fs/cgroup/memory/a",
            "/sys/fs/cgroup/memory/",
            "/sys/fs/cgroup/unified/c",
            "/sys/fs/cgroup/unified/",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        let mountinfo = "30 29 0:26 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        for path in ["/docker/abc", "/elsewhere"] {
            let found = directories(&format!("0::{path}\n"), mountinfo);
            assert_eq!(found, [PathBuf::from("/sys/fs/cgroup/")], "{path}");
        }
    }

    #[test]
    fn limits_of_both_versions_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        assert_eq!(limit(directory.path()), None);
        write("memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(directory.path()), Some(9_223_372_036_854_771_712));
        write("memory.max", "max\n");
        assert_eq!(limit(directory.path()), None);
        write("memory.max", "268435456\n");
        assert_eq!(limit(directory.path()), Some(256 * MIB));
    }
}
